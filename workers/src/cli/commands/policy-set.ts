import { StrataError } from '@strata/shared/errors.ts'
import { retentionIn } from '@strata/shared/policy/copies.ts'
import type { RunTimes } from '@strata/shared/policy/hours.ts'
import { readPolicy } from '@strata/shared/policy/policy.ts'
import { retentionDefault, type Retention } from '@strata/shared/policy/retention-rules.ts'
import { decideRetention } from '@strata/shared/policy/retention.ts'
import type { Repository } from '@strata/shared/repository/repository.ts'
import { isGone, RetentionLedger } from '@strata/shared/repository/retention/ledger.ts'
import { requireSetName } from '@strata/shared/set-name.ts'
import { holdsOf } from '../../maintain/retention/plan-set.ts'
import { readSetPoints, type SetPoints } from '../../maintain/retention/set-points.ts'
import { exitCodes, stopIfInterrupted, type Context, type ExitCode } from '../context.ts'
import { formatCount } from '../output/bytes.ts'
import { scheduleText } from '../output/policy-members.ts'
import type { StoredPolicy } from '../output/policy.ts'
import { explainedSetDocument, explainedSetLines } from '../output/retention.ts'

/** What says how long points stay. */
interface Rules {
  readonly version: number | undefined
  readonly schedule: string
  readonly retention: Retention
  readonly expected: RunTimes | undefined
}

/** `strata policy explain --set NAME`: why each of its points is kept or goes, and when. Nothing is changed. */
export async function policyExplainSet(
  context: Context,
  repository: Repository,
  stored: StoredPolicy | undefined,
  givenName: string,
): Promise<ExitCode> {
  const { reporter, signal, settings } = context
  const set = requireSetName(givenName)
  const { expected, ...rules } = rulesOf(stored, settings.storeUrl)
  const setId = repository.setIdOf(set)
  const { state } = await new RetentionLedger(repository).read(setId)
  const { points, unreadable, voids } = await readSetPoints(repository, setId, () => {
    stopIfInterrupted(signal)
  })
  if (points.length + unreadable.length === 0) {
    throw new StrataError('E_SET_UNKNOWN', `there is no point of a set '${set}'`)
  }
  const nowMs = await repository.store.now()
  const there = points.filter(({ sequence }) => !isGone(state, sequence))
  const decisions = decideRetention(there, holdsOf(state), rules.retention, nowMs, expected)
  const explained = { ...rules, set, nowMs, decisions, unreadable, voids }
  reporter.result(explainedSetDocument(explained), explainedSetLines(explained))
  requireReadable(context, unreadable)
  return exitCodes.success
}

/** @param storeUrl a copy has its own retention */
function rulesOf(stored: StoredPolicy | undefined, storeUrl: string | undefined): Rules {
  if (stored === undefined) {
    return {
      version: undefined,
      schedule: 'none; one point a day is expected',
      retention: retentionDefault('UTC'),
      expected: undefined,
    }
  }
  const { policy, document } = readPolicy(stored.policy)
  const { schedule, hours } = policy
  const retention = storeUrl === undefined ? policy.retention : retentionIn(policy, storeUrl)
  return { version: stored.version, schedule: scheduleText(document), retention, expected: { schedule, hours } }
}

/** The list was given in full; now it is said that it tells not all. */
function requireReadable({ reporter }: Context, unreadable: SetPoints['unreadable']): void {
  for (const { sequence, error } of unreadable) {
    reporter.warning(`${error.code}: number ${String(sequence)} is kept: ${error.message}`)
  }
  const [first] = unreadable
  if (first === undefined) return
  const message = `${formatCount(unreadable.length, 'point')} of the set cannot be read`
  throw new StrataError(first.error.code, message, { cause: first.error, hint: first.error.hint })
}
