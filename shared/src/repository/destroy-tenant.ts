import type { Clock } from '../clock.ts'
import { StrataError } from '../errors.ts'
import { tenantKeysPrefix, tenantSessionsPrefix, sessionPlaceOf } from '../format/names.ts'
import {
  requireAuthenticDestruction,
  sameWay,
  wayOf,
  type DestructionDocument,
  type DestructionFacts,
  type Tombstone,
} from '../keys/destruction-document.ts'
import { clockSkewWarnMs, destructionDelayMsMax, destructionDelayMsMin } from '../limits.ts'
import type { ObjectStore } from '../store/object-store.ts'
import type { TenantId } from '../types.ts'
import {
  appendDestruction,
  putTombstone,
  readDestruction,
  readPendingDestruction,
  readTombstone,
} from './destruction.ts'
import type { Repository } from './repository.ts'
import { RetentionLedger } from './retention/ledger.ts'
import type { UnlockedTenant } from './unlock.ts'

/**
 * The end of a tenant's keys: what is stored of the tenant can be opened by nobody any more, wherever copies of it are.
 *
 * One person asks for it, a second one confirms, with another way to open the tenant than the first; until the time has
 * come anybody who can open it may cancel. Meanwhile the keys stay as they are, so that nobody makes a second way for
 * themselves. Then, in this order:
 *
 * 1. Nothing stands against it: neither what `findObstacles` names, nor one of the two clocks.
 * 2. It is written down as executed: from here on nobody can cancel.
 * 3. The tombstone is put. From here on every command says that the tenant is destroyed.
 * 4. All revisions of the keys document are deleted.
 *
 * A run that finds a tombstone goes on at 4; it needs no secret for it, for none may be left.
 */
export interface DestructionOptions {
  readonly clock: Clock
  /** Names, one by one, what forbids it: holds, locks, work that is under way. */
  readonly findObstacles: (repository: Repository) => AsyncIterable<string>
  /** For stores that keep earlier versions: deletes all of them of the objects whose names begin so. */
  readonly deleteVersions?: ((prefix: string) => Promise<void>) | undefined
}

/** E_DESTROY_REFUSED: it is asked for already, or a delay that is out of bounds. @param delayMs until the end */
export async function requestDestruction(
  store: ObjectStore,
  unlocked: UnlockedTenant,
  { delayMs, findObstacles }: Pick<DestructionOptions, 'findObstacles'> & { readonly delayMs: number },
): Promise<DestructionFacts> {
  const { privateKey, document, unlockedBy } = unlocked
  const { tenantId, repositoryId } = privateKey
  if (delayMs < destructionDelayMsMin || delayMs > destructionDelayMsMax) {
    throw refused(`the delay is from ${inDays(destructionDelayMsMin)} to ${inDays(destructionDelayMsMax)}`)
  }
  if (document.privateKeyWraps.every((wrap) => sameWay(wayOf(wrap), wayOf(unlockedBy)))) {
    throw refused('the tenant opens in one way only, and a second person has to confirm with another one')
  }
  const last = await readDestruction(store, tenantId)
  if (last !== undefined && last.state !== 'cancelled') {
    throw refused(`it is asked for already, and is ${last.state}`)
  }
  await requireNoObstacles(unlocked.repository, findObstacles)
  const nowMs = await store.now()
  const facts: DestructionFacts = {
    number: (last?.number ?? 0) + 1,
    repositoryId,
    tenantId,
    state: 'requested',
    keysRevision: document.revision,
    requestedAt: instant(nowMs),
    requestedBy: wayOf(unlockedBy),
    confirmedAt: null,
    confirmedBy: null,
    dueAt: instant(nowMs + delayMs),
  }
  await appendDestruction(store, tenantId, facts, privateKey)
  return facts
}

/** E_DESTROY_REFUSED: nothing is asked for, it is confirmed already, or this is the way that it was asked for with. */
export async function confirmDestruction(store: ObjectStore, unlocked: UnlockedTenant): Promise<DestructionFacts> {
  const last = await pendingOf(store, unlocked)
  if (last.state !== 'requested') throw refused(`it is ${last.state} already`)
  requireSameKeys(last, unlocked)
  const by = wayOf(unlocked.unlockedBy)
  if (sameWay(by, last.requestedBy)) {
    throw refused('a second person confirms, with another way to open the tenant than it was asked for with')
  }
  const nowMs = await store.now()
  const dueMs = Math.max(Date.parse(last.dueAt), nowMs + destructionDelayMsMin)
  const change = { state: 'confirmed', confirmedAt: instant(nowMs), confirmedBy: by, dueAt: instant(dueMs) } as const
  return await appendNext(store, unlocked, last, change)
}

/** E_DESTROY_REFUSED: nothing is asked for. */
export async function cancelDestruction(store: ObjectStore, unlocked: UnlockedTenant): Promise<DestructionFacts> {
  const last = await pendingOf(store, unlocked)
  if (last.state === 'executed') throw refused('it is too late: the keys are being destroyed')
  return await appendNext(store, unlocked, last, { state: 'cancelled' })
}

/** E_DESTROY_REFUSED: not confirmed, not due, clocks that disagree, or what stands against it. */
export async function executeDestruction(
  store: ObjectStore,
  unlocked: UnlockedTenant,
  { clock, findObstacles, deleteVersions }: DestructionOptions,
): Promise<Tombstone> {
  const { tenantId, repositoryId } = unlocked.privateKey
  const last = await pendingOf(store, unlocked)
  const { state, requestedAt, confirmedAt, dueAt } = last
  if (state === 'requested' || confirmedAt === null) throw refused('no second person has confirmed it')
  requireSameKeys(last, unlocked)
  const nowMs = await store.now()
  if (Math.abs(nowMs - clock.nowMs()) > clockSkewWarnMs) {
    throw refused("this machine's clock and the store's disagree; one of them may be far ahead")
  }
  if (Math.min(nowMs, clock.nowMs()) < Date.parse(dueAt)) {
    throw new StrataError('E_DESTROY_REFUSED', `it is not due before ${dueAt}`, { details: { dueAt } })
  }
  await requireNoObstacles(unlocked.repository, findObstacles)
  // Whoever cancels at this moment has this number, or is told that it is too late.
  if (state === 'confirmed') await appendNext(store, unlocked, last, { state: 'executed' })
  const tombstone: Tombstone = {
    strata: 'tenant-tombstone',
    version: 1,
    repositoryId,
    tenantId,
    requestedAt,
    confirmedAt,
    destroyedAt: instant(nowMs),
  }
  await putTombstone(store, tenantId, tombstone)
  await finishDestruction(store, tenantId, { deleteVersions })
  return tombstone
}

/** Deletes what a run that was cut off has left. Gives undefined, and does nothing, where there is no tombstone. */
export async function finishDestruction(
  store: ObjectStore,
  tenant: TenantId,
  { deleteVersions }: Pick<DestructionOptions, 'deleteVersions'>,
): Promise<Tombstone | undefined> {
  const tombstone = await readTombstone(store, tenant)
  if (tombstone === undefined) return undefined
  const prefix = tenantKeysPrefix(tenant)
  for (const { name } of await Array.fromAsync(store.list(prefix))) await store.delete(name)
  await deleteVersions?.(prefix)
  return tombstone
}

/** A backup that is under way would be made for nobody. */
export async function* openSessions({ store, tenant }: Repository): AsyncGenerator<string> {
  for await (const { name } of store.list(tenantSessionsPrefix(tenant))) {
    const place = sessionPlaceOf(tenant, name)
    if (place?.document === 'open') yield `session ${place.session} of set ${place.set} is under way`
  }
}

/** Points and sets that are held: by their ids, for the names of sets are nobody's to guess from here. */
export async function* heldPoints(repository: Repository): AsyncGenerator<string> {
  const refuse = (_: unknown, error: StrataError): never => {
    throw error
  }
  for (const [set, { state }] of await new RetentionLedger(repository).readAll(refuse)) {
    if (state.heldSet !== null) yield `set ${set} is held: ${state.heldSet.note}`
    for (const { sequence, note } of state.held) yield `point number ${String(sequence)} of set ${set} is held: ${note}`
  }
}

/** Keys documents that the store would not let go: points are locked that need them. */
export async function* lockedKeys({ store, tenant }: Repository): AsyncGenerator<string> {
  if (!(await store.lockability()).canLock) return
  const nowMs = await store.now()
  for (const { name } of await Array.fromAsync(store.list(tenantKeysPrefix(tenant)))) {
    const lock = await store.lockOf(name)
    if (lock !== undefined && lock.untilMs > nowMs) yield `${name} is locked until ${instant(lock.untilMs)}`
  }
}

async function requireNoObstacles(
  repository: Repository,
  findObstacles: DestructionOptions['findObstacles'],
): Promise<void> {
  const shownMax = 20
  const obstacles: string[] = []
  for await (const obstacle of findObstacles(repository)) {
    obstacles.push(obstacle)
    if (obstacles.length === shownMax) break
  }
  if (obstacles.length === 0) return
  throw new StrataError('E_DESTROY_REFUSED', `something stands against it: ${obstacles.join('; ')}`, {
    details: { obstacles },
  })
}

async function pendingOf(store: ObjectStore, { privateKey }: UnlockedTenant): Promise<DestructionDocument> {
  const last = await readPendingDestruction(store, privateKey.tenantId)
  if (last === undefined) throw refused('nobody has asked for it')
  requireAuthenticDestruction(last, privateKey)
  return last
}

/** Whoever could change the keys meanwhile could have made the second way for themselves. */
function requireSameKeys({ keysRevision }: Pick<DestructionFacts, 'keysRevision'>, { document }: UnlockedTenant): void {
  if (document.revision === keysRevision) return
  throw refused('the keys have changed since it was asked for; cancel, and ask for it anew')
}

async function appendNext(
  store: ObjectStore,
  { privateKey }: UnlockedTenant,
  last: DestructionDocument,
  change: Partial<DestructionFacts>,
): Promise<DestructionFacts> {
  const facts = { ...last, ...change, number: last.number + 1 }
  await appendDestruction(store, privateKey.tenantId, facts, privateKey)
  return facts
}

function refused(why: string): StrataError {
  return new StrataError('E_DESTROY_REFUSED', why)
}

function instant(ms: number): string {
  return new Date(ms).toISOString()
}

function inDays(ms: number): string {
  return `${String(ms / (24 * 3600_000))} days`
}
