import { resolve } from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import { hasCode, StrataError } from '@strata/shared/errors.ts'
import type { Warning } from '@strata/shared/format/manifest.ts'
import { nextBegin } from '@strata/shared/policy/hours.ts'
import { readPolicy, type PolicyDocument, type ReadPolicy } from '@strata/shared/policy/policy.ts'
import { jitterOf } from '@strata/shared/policy/schedule.ts'
import type { Lockability } from '@strata/shared/store/object-store.ts'
import { isId } from '@strata/shared/types.ts'
import { exitCodes, type Context, type ExitCode } from '../context.ts'
import { readPolicyFile } from '../input/policy-file.ts'
import { hoursTexts, scheduleText } from '../output/policy-members.ts'
import {
  explainedScheduleDocument,
  explainedScheduleLines,
  storedPolicyDocument,
  storedPolicyLines,
  type ExplainedSchedule,
  type StoredPolicy,
} from '../output/policy.ts'

/** Where a tenant's policies are; versions only grow, and none is ever changed. */
export interface PolicyRegistry {
  latest(): Promise<StoredPolicy | undefined>
  /** Gives the version that it became. */
  append(policy: PolicyDocument): Promise<number>
  /** Of the store that it is for. */
  lockability(): Promise<Lockability>
}

const explainedRuns = 5

/** `strata policy apply FILE`: makes it the policy from now on. One that is in force already makes no new version. */
export async function policyApply(context: Context, registry: PolicyRegistry, file: string): Promise<ExitCode> {
  const written = await readPolicyFile(resolve(context.workingDirectory, file), file)
  const { document, policy, ignored } = readPolicy(written, context.settings.storeUrl)
  const warnings = [
    ...ignored.map(misspelt),
    ...(policy.immutability === undefined ? [] : await withoutLocks(registry)),
  ]
  for (const { code, message } of warnings) context.reporter.warning(`${code}: ${message}`)
  const latest = await registry.latest()
  const isInForce = latest !== undefined && isDeepStrictEqual(latest.policy, document)
  const version = isInForce ? latest.version : await registry.append(document)
  const said = isInForce ? 'is in force already' : 'is in force'
  context.reporter.result({ version, policy: document, applied: !isInForce, warnings }, [
    `policy version ${String(version)} ${said}`,
  ])
  return exitCodes.success
}

/** It is applied all the same: the store may be made able to lock, and until then every point says that it is not. */
async function withoutLocks(registry: PolicyRegistry): Promise<Warning[]> {
  const lockability = await registry.lockability()
  return lockability.canLock ? [] : [{ code: 'W_NOT_LOCKED', message: `points will have no locks: ${lockability.why}` }]
}

function misspelt(place: string): Warning {
  return {
    code: 'W_POLICY_MEMBER',
    message: `${place} is not known to this program and has no effect; is it misspelt?`,
  }
}

/** `strata policy show`: what the policy means, and how it was written. */
export async function policyShow(context: Context, registry: PolicyRegistry): Promise<ExitCode> {
  const stored = await requirePolicy(registry)
  const understood = understoodOrTold(context, stored)
  context.reporter.result(storedPolicyDocument(stored, understood), storedPolicyLines(stored, understood))
  return exitCodes.success
}

/** A policy that newer programs understand is shown all the same. */
function understoodOrTold({ reporter }: Context, { policy }: StoredPolicy): ReadPolicy | undefined {
  try {
    return readPolicy(policy)
  } catch (error) {
    if (!hasCode(error, 'E_POLICY_NEWER') && !hasCode(error, 'E_POLICY_INVALID')) throw error
    reporter.warning(`${error.code}: ${error.message}`)
    return undefined
  }
}

/**
 * `strata policy explain ENDPOINT`: when it runs next.
 * @param localZone the zone of this machine, for schedules that have none of their own
 */
export async function policyExplain(
  context: Context,
  registry: PolicyRegistry,
  endpoint: string,
  localZone: string,
): Promise<ExitCode> {
  if (!isId(endpoint)) throw new StrataError('E_USAGE', 'an endpoint is given by its id, 32 hex digits')
  const stored = await requirePolicy(registry)
  const { policy, document } = readPolicy(stored.policy)
  const { schedule, hours } = policy
  const runsMs: number[] = []
  while (runsMs.length < explainedRuns) {
    runsMs.push(nextBegin({ schedule, hours }, endpoint, runsMs.at(-1) ?? context.clock.nowMs()))
  }
  const explained: ExplainedSchedule = {
    endpoint,
    version: stored.version,
    schedule: scheduleText(document),
    hours: hoursTexts(document, policy),
    timeZone: schedule.kind === 'cron' ? schedule.timeZone : localZone,
    delayMs: jitterOf(endpoint, schedule.jitterMs),
    missed: schedule.missed,
    runsMs,
  }
  context.reporter.result(explainedScheduleDocument(explained), explainedScheduleLines(explained))
  return exitCodes.success
}

async function requirePolicy(registry: PolicyRegistry): Promise<StoredPolicy> {
  const stored = await registry.latest()
  if (stored === undefined) throw new StrataError('E_POLICY_MISSING', 'the tenant has no policy')
  return stored
}
