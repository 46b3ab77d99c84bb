import { open } from 'node:fs/promises'
import { resolve } from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import { StrataError, systemErrorCode } from '@strata/shared/errors.ts'
import type { Warning } from '@strata/shared/format/manifest.ts'
import { policyBytesMax } from '@strata/shared/limits.ts'
import { policyType, readPolicy, type PolicyDocument } from '@strata/shared/policy/policy.ts'
import { jitterOf, nextRun } from '@strata/shared/policy/schedule.ts'
import { isId } from '@strata/shared/types.ts'
import { exitCodes, type Context, type ExitCode } from '../context.ts'
import {
  explainedScheduleDocument,
  explainedScheduleLines,
  storedPolicyLines,
  type ExplainedSchedule,
  type StoredPolicy,
} from '../output/policy.ts'

/** Where a tenant's policies are; versions only grow, and none is ever changed. */
export interface PolicyRegistry {
  latest(): Promise<StoredPolicy | undefined>
  /** Gives the version that it became. */
  append(policy: PolicyDocument): Promise<number>
}

const explainedRuns = 5

/** `strata policy apply FILE`: makes it the policy from now on. One that is in force already makes no new version. */
export async function policyApply(context: Context, registry: PolicyRegistry, file: string): Promise<ExitCode> {
  const written = await readPolicyFile(resolve(context.workingDirectory, file), file)
  const { document, ignored } = readPolicy(written)
  const warnings = ignored.map(misspelt)
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

function misspelt(place: string): Warning {
  return {
    code: 'W_POLICY_MEMBER',
    message: `${place} is not known to this program and has no effect; is it misspelt?`,
  }
}

/** `strata policy show`: the policy as it was written. */
export async function policyShow(context: Context, registry: PolicyRegistry): Promise<ExitCode> {
  const stored = await requirePolicy(registry)
  context.reporter.result({ version: stored.version, policy: stored.policy }, storedPolicyLines(stored))
  return exitCodes.success
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
  const { schedule } = policy
  const runsMs: number[] = []
  while (runsMs.length < explainedRuns) {
    runsMs.push(nextRun(schedule, endpoint, runsMs.at(-1) ?? context.clock.nowMs()))
  }
  const explained: ExplainedSchedule = {
    endpoint,
    version: stored.version,
    schedule: scheduleText(document),
    timeZone: schedule.kind === 'cron' ? schedule.timeZone : localZone,
    delayMs: jitterOf(endpoint, schedule.jitterMs),
    missed: schedule.missed,
    runsMs,
  }
  context.reporter.result(explainedScheduleDocument(explained), explainedScheduleLines(explained))
  return exitCodes.success
}

function scheduleText({ schedule = {} }: PolicyDocument): string {
  const { cron, timeZone = 'UTC', every = '', anchor } = schedule
  if (cron !== undefined) return `${cron}, in ${timeZone}`
  return anchor === undefined ? `every ${every}` : `every ${every}, counted from ${anchor}`
}

async function requirePolicy(registry: PolicyRegistry): Promise<StoredPolicy> {
  const stored = await registry.latest()
  if (stored === undefined) throw new StrataError('E_POLICY_MISSING', 'the tenant has no policy')
  return stored
}

/** The file's JSON, with the head that every policy has and nobody needs to write. */
async function readPolicyFile(path: string, given: string): Promise<unknown> {
  const text = await readText(path, given)
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    throw new StrataError('E_POLICY_INVALID', `${given} is no JSON: ${reason}`, { cause: error })
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value
  return { strata: policyType.title, version: policyType.version, ...value }
}

async function readText(path: string, given: string): Promise<string> {
  const buffer = new Uint8Array(policyBytesMax + 1)
  let filled = 0
  try {
    await using file = await open(path)
    while (filled < buffer.length) {
      const { bytesRead } = await file.read(buffer, filled, buffer.length - filled)
      if (bytesRead === 0) return Buffer.from(buffer.subarray(0, filled)).toString('utf8')
      filled += bytesRead
    }
  } catch (error) {
    const reason = systemErrorCode(error)
    if (reason === undefined) throw error
    throw new StrataError('E_USAGE', `the policy ${given} cannot be read (${reason})`, { cause: error })
  }
  throw new StrataError('E_POLICY_INVALID', `${given} is longer than ${String(policyBytesMax)} bytes`)
}
