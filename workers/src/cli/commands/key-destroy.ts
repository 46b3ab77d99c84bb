import { rm } from 'node:fs/promises'
import { hasCode, StrataError } from '@strata/shared/errors.ts'
import { tenantKeysPrefix } from '@strata/shared/format/names.ts'
import type { DestructionFacts } from '@strata/shared/keys/destruction-document.ts'
import { readKeyring } from '@strata/shared/keys/keyring.ts'
import { wrapNames } from '@strata/shared/keys/open-private-key.ts'
import {
  cancelDestruction,
  confirmDestruction,
  executeDestruction,
  finishDestruction,
  heldPoints,
  lockedKeys,
  openSessions,
  requestDestruction,
  type DestructionOptions,
} from '@strata/shared/repository/destroy-tenant.ts'
import { readDestruction } from '@strata/shared/repository/destruction.ts'
import type { UnlockedTenant } from '@strata/shared/repository/unlock.ts'
import type { ObjectStore } from '@strata/shared/store/object-store.ts'
import { parseStoreUrl } from '@strata/shared/store/store-url.ts'
import { asId, isId, type TenantId } from '@strata/shared/types.ts'
import { exitCodes, stopIfInterrupted, type Context, type ExitCode } from '../context.ts'
import { parseDuration } from '../input/duration.ts'
import { factLines } from '../output/table.ts'
import { requireStoreUrl } from '../settings.ts'
import { withStore } from '../store.ts'
import { openGivenTenant, unlockGivenTenant } from '../unlock.ts'
import type { KeyOptions } from './key.ts'

export interface KeyDestroyOptions extends KeyOptions {
  readonly request?: boolean
  readonly confirm?: boolean
  readonly cancel?: boolean
  readonly execute?: boolean
  readonly delay: string
}

/** `strata key destroy`. Without one of its steps it says how far it has come. */
export async function keyDestroy(context: Context, options: KeyDestroyOptions): Promise<ExitCode> {
  const { request, confirm, cancel, execute, tenant } = options
  const delayMs = parseDuration(options.delay, '--delay')
  const steps = [request, confirm, cancel, execute].filter((step) => step === true).length
  if (steps > 1) throw new StrataError('E_USAGE', 'one of --request, --confirm, --cancel and --execute at a time')
  if (steps === 1 && tenant === undefined) {
    throw new StrataError('E_USAGE', 'say which tenant with --tenant, whatever the keyring is of')
  }
  return await withStore(context, async (store) => {
    if (steps === 0) return await show(context, store, tenant)
    if (execute === true) return await carryOut(context, store, tenant ?? '')
    const unlocked = await unlockGivenTenant(context, store, tenant)
    stopIfInterrupted(context.signal)
    tell(context, unlocked, await step(context, store, unlocked, options, delayMs))
    return exitCodes.success
  })
}

async function step(
  context: Context,
  store: ObjectStore,
  unlocked: UnlockedTenant,
  { request, confirm }: KeyDestroyOptions,
  delayMs: number,
): Promise<DestructionFacts> {
  if (request === true)
    return await requestDestruction(store, unlocked, { delayMs, findObstacles: obstaclesOf(context) })
  if (confirm === true) return await confirmDestruction(store, unlocked)
  return await cancelDestruction(store, unlocked)
}

/** The keyring is enough for it. */
async function show(context: Context, store: ObjectStore, tenant: string | undefined): Promise<ExitCode> {
  const { keyring } = await openGivenTenant(context, store, tenant)
  const facts = await readDestruction(store, keyring.tenantId)
  if (facts === undefined) {
    context.reporter.result({ tenant: keyring.tenantId, state: 'none' }, ['nobody has asked for it'])
  } else tell(context, { keyring }, facts)
  return exitCodes.success
}

async function carryOut(context: Context, store: ObjectStore, reference: string): Promise<ExitCode> {
  const { settings, clock } = context
  const deleteVersions = versionsOf(context)
  const known = await tenantIdOf(context, reference)
  let tombstone = known === undefined ? undefined : await finishDestruction(store, known, { deleteVersions })
  const resumed = tombstone !== undefined
  if (tombstone === undefined) {
    const unlocked = await unlockGivenTenant(context, store, reference)
    stopIfInterrupted(context.signal)
    const options = { clock, findObstacles: obstaclesOf(context), deleteVersions }
    tombstone = await executeDestruction(store, unlocked, options)
  }
  const keyringRemoved = await removeKeyring(settings.keyringPath, asId<TenantId>(tombstone.tenantId))
  const { tenantId, destroyedAt } = tombstone
  context.reporter.result({ tenant: tenantId, state: 'destroyed', destroyedAt, resumed, keyringRemoved }, [
    `the keys of tenant ${tenantId} are destroyed${resumed ? ', as an earlier run had begun' : ''}`,
  ])
  for (const line of afterwards) context.reporter.note(line)
  return exitCodes.success
}

/** By the keyring, where it is the one that is meant, or as it was given. Names need an index key to be found by. */
async function tenantIdOf({ settings }: Context, reference: string): Promise<TenantId | undefined> {
  if (isId(reference)) return asId<TenantId>(reference)
  try {
    const { tenantId, tenantName } = await readKeyring(settings.keyringPath)
    return tenantName === reference ? tenantId : undefined
  } catch (error) {
    if (hasCode(error, 'E_KEYRING_MISSING')) return undefined
    throw error
  }
}

/** The last thing, so that a run that was cut off finds its tenant again. */
async function removeKeyring(path: string, tenant: TenantId): Promise<boolean> {
  try {
    if ((await readKeyring(path)).tenantId !== tenant) return false
  } catch (error) {
    if (hasCode(error, 'E_KEYRING_MISSING')) return false
    throw error
  }
  await rm(path)
  return true
}

function versionsOf({ settings, env }: Context): ((prefix: string) => Promise<void>) | undefined {
  const location = parseStoreUrl(requireStoreUrl(settings))
  if (location.kind !== 's3') return undefined
  return async (prefix) => {
    const { deleteS3Versions } = await import('@strata/shared/store/s3-versions.ts')
    await deleteS3Versions({ location, env }, prefix)
  }
}

/** All that is known to stand against it: backups under way, holds, and locks of the bucket on the keys themselves. */
function obstaclesOf({ settings, env }: Context): DestructionOptions['findObstacles'] {
  const location = parseStoreUrl(requireStoreUrl(settings))
  return async function* (repository) {
    const { store, tenant } = repository
    yield* openSessions(repository)
    yield* heldPoints(repository)
    if (location.kind !== 's3') {
      yield* lockedKeys(repository)
      return
    }
    // Of S3 all versions are looked at, and legal holds as well.
    const { findS3Locks } = await import('@strata/shared/store/s3-versions.ts')
    yield* await findS3Locks({ location, env }, tenantKeysPrefix(tenant), await store.now())
  }
}

function tell(context: Context, { keyring }: Pick<UnlockedTenant, 'keyring'>, facts: DestructionFacts): void {
  const { state, requestedAt, requestedBy, confirmedAt, confirmedBy, dueAt } = facts
  const by = requestedBy.kind
  const second = confirmedBy?.kind ?? null
  const { reporter } = context
  const answer = { tenant: keyring.tenantId, tenantName: keyring.tenantName, state, requestedAt, requestedBy: by }
  reporter.result({ ...answer, confirmedAt, confirmedBy: second, dueAt }, [
    ...factLines([
      ['tenant', `${keyring.tenantName} (${keyring.tenantId})`],
      ['state', state],
      ['requested', `${requestedAt} with ${wrapNames[by]}`],
      ...(second === null ? [] : [['confirmed', `${confirmedAt ?? ''} with ${wrapNames[second]}`] as const]),
      ...(state === 'cancelled' ? [] : [['due', dueAt] as const]),
    ]),
  ])
  const next = nextSteps[state]
  if (next !== undefined) reporter.note(next)
}

const nextSteps: Readonly<Partial<Record<DestructionFacts['state'], string>>> = {
  requested: 'A second person confirms it, with another way to open the tenant: strata key destroy --confirm.',
  confirmed: 'When it is due: strata key destroy --execute. Until then strata key destroy --cancel takes it back.',
  executed: 'A run was cut off. strata key destroy --execute finishes it.',
}

const afterwards = [
  '',
  'Nobody can open what is stored of it any more. Still to be done by you: remove',
  'the keyrings of this tenant elsewhere (they open names and maps), recovery',
  'sheets and key files; copies of the store that others have made, which have',
  'the keys of their day; and the objects themselves, below tenants/ and its id.',
]
