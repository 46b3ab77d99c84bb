import { StrataError, hasCode } from '@strata/shared/errors.ts'
import type { Immutability } from '@strata/shared/policy/keeping-members.ts'
import type { Repository } from '@strata/shared/repository/repository.ts'
import { requireSetName } from '@strata/shared/set-name.ts'
import { createStoreMetrics, type StoreTotals } from '@strata/shared/store/decorators/metrics.ts'
import type { ObjectStore } from '@strata/shared/store/object-store.ts'
import { checkLocks, type LockCheck } from '../../maintain/locks/check-locks.ts'
import { policyInForce } from '../../maintain/retention/prune-tenant.ts'
import { exitCodes, type Context, type ExitCode } from '../context.ts'
import { formatCount, formatInstant, shownIdChars } from '../output/bytes.ts'
import { tableLines } from '../output/table.ts'
import { withStore } from '../store.ts'
import { openGivenTenant } from '../unlock.ts'

export interface LockCheckCommandOptions {
  readonly set?: string
  readonly tenant?: string
}

/** `strata lock check`: that everything behind the points is locked. */
export async function lockCheck(context: Context, options: LockCheckCommandOptions): Promise<ExitCode> {
  const metrics = createStoreMetrics()
  const result = await withStore(context, (store) => checkIn(context, store, options), { metrics })
  report(context, result, metrics.totals())
  const [unreadable] = result.unreadable
  if (unreadable !== undefined) {
    const message = `${formatCount(result.unreadable.length, 'point')} cannot be read, so nobody knows what is behind: ${unreadable.message}`
    throw new StrataError(unreadable.code, message, { cause: unreadable })
  }
  return result.unlocked.length === 0 ? exitCodes.success : exitCodes.damage
}

async function checkIn(
  context: Context,
  store: ObjectStore,
  { set, tenant }: LockCheckCommandOptions,
): Promise<LockCheck> {
  const { reporter, clock, signal } = context
  const setName = set === undefined ? undefined : requireSetName(set)
  const { repository } = await openGivenTenant(context, store, tenant)
  const progress = reporter.progress('lock check')
  try {
    return await checkLocks({
      repository,
      set: setName === undefined ? undefined : repository.setIdOf(setName),
      immutability: await wantedIn(repository),
      clock,
      signal,
      onWarning: ({ code, message }) => {
        reporter.warning(`${code}: ${message}`)
      },
      onProgress: (objects) => {
        progress.update({ doneBytes: 0, totalBytes: 0, detail: formatCount(objects, 'object') })
      },
    })
  } finally {
    progress.end()
  }
}

async function wantedIn(repository: Repository): Promise<Immutability | undefined> {
  try {
    return (await policyInForce(repository)).policy.immutability
  } catch (error) {
    if (hasCode(error, 'E_POLICY_MISSING')) return undefined
    throw error
  }
}

function report({ reporter }: Context, { unreadable: _, ...result }: LockCheck, requests: StoreTotals): void {
  const { points, objects, unlocked, horizon } = result
  const rows = unlocked.map(({ object, lockedUntil, mode, points: hit }) => [
    object,
    lockedUntil === null ? 'no lock' : `${mode ?? ''}, until ${formatInstant(lockedUntil)}`,
    hit.map((id) => id.slice(0, shownIdChars)).join(' '),
  ])
  const table = tableLines([{ title: 'OBJECT' }, { title: 'LOCK' }, { title: 'POINTS' }], rows)
  const checked = `${formatCount(objects, 'object')} behind ${formatCount(points, 'point')}`
  const said =
    unlocked.length === 0
      ? `${checked}: all are locked until their points are old enough, the last at ${horizon === null ? 'once' : formatInstant(horizon)}`
      : `${checked}: ${String(unlocked.length)} are not locked for long enough`
  reporter.result({ ...result, requests }, [
    ...(rows.length === 0 ? [] : [...table, '']),
    points === 0 ? 'no point is to be locked' : said,
  ])
}
