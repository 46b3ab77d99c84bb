import { resolve } from 'node:path'
import { backupSet, type BackupOutcome } from '@strata/agent/backup.ts'
import { closeConnections } from '@strata/agent/http/connections.ts'
import { readIdentity, type AgentIdentity } from '@strata/agent/identity/agent-identity.ts'
import { runByPolicy } from '@strata/agent/schedule/policy-loop.ts'
import { ScheduleKeeper } from '@strata/agent/schedule/schedule-keeper.ts'
import { connectToService, openClient, type ServiceConnection } from '@strata/agent/service/connect.ts'
import { enrolMachine } from '@strata/agent/service/enrol.ts'
import { StrataError } from '@strata/shared/errors.ts'
import type { Warning } from '@strata/shared/format/manifest.ts'
import { routes } from '@strata/shared/protocol/routes.ts'
import { requireSetName } from '@strata/shared/set-name.ts'
import { exitCodes, type Context, type ExitCode } from '../context.ts'
import { parseBlockSize } from '../input/block-size.ts'
import { parseSources, type NamedSource } from '../input/source.ts'
import { reportBackup } from '../output/backup-report.ts'
import { formatCount, formatDuration } from '../output/bytes.ts'
import { DiskProgress } from '../output/disk-progress.ts'
import { factLines } from '../output/table.ts'

export interface EnrollOptions {
  readonly service: string
  readonly token?: string
  readonly name?: string
  readonly ca?: string
  readonly proxy?: string
}

/** `strata agent enroll`: makes this machine an endpoint of a service. */
export async function enroll(context: Context, options: EnrollOptions): Promise<ExitCode> {
  const { settings, reporter, clock, random, signal, env } = context
  const token = options.token ?? env['STRATA_ENROLMENT_TOKEN']
  if (token === undefined || token === '') {
    throw new StrataError('E_USAGE', 'no enrolment token was given', {
      hint: 'Make one with strata token create, and pass it with --token or in STRATA_ENROLMENT_TOKEN.',
    })
  }
  const identity = await enrolMachine({
    stateDirectory: settings.stateDirectory,
    serviceUrl: serviceUrlFrom(options.service),
    token: token.trim(),
    name: options.name ?? context.hostName,
    machineId: settings.machineId,
    // Later runs may begin anywhere.
    caFile: options.ca === undefined ? null : resolve(context.workingDirectory, options.ca),
    proxy: options.proxy ?? null,
    clock,
    random,
    signal,
  })
  const { endpoint, endpointName, tenant, serviceUrl } = identity
  reporter.result(
    { endpoint, name: endpointName, tenant, service: serviceUrl },
    factLines([
      ['endpoint', `${endpointName} (${endpoint})`],
      ['service', serviceUrl],
    ]),
  )
  return exitCodes.success
}

/** http: or https:, with a path where a proxy wants one; never with a slash at its end. */
function serviceUrlFrom(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined
  const isPlain = url?.search === '' && url.hash === '' && url.username === '' && url.password === ''
  if (url === undefined || !isPlain || !/^https?:$/.test(url.protocol)) {
    throw new StrataError('E_USAGE', 'the service is an http:// or https:// address, without a query')
  }
  return url.href.replace(/\/+$/, '')
}

export interface AgentRunOptions {
  readonly set?: string
  readonly full?: boolean
  readonly differential?: boolean
  readonly blockSize?: string
  readonly allowChanging?: boolean
  readonly loop?: boolean
}

/** `strata agent run`: backs up this endpoint by way of its service, once or by the policy's schedule. */
export async function runAgent(
  context: Context,
  texts: readonly string[],
  options: AgentRunOptions,
): Promise<ExitCode> {
  const sources = parseSources(texts, context.workingDirectory)
  const identity = await readIdentity(context.settings.stateDirectory)
  const setName =
    options.set === undefined ? identity.endpointName : requireSetName(`${identity.endpointName}@${options.set}`)
  const run: AgentRun = { identity, sources, setName, options }
  if (options.loop === true) await loop(context, run)
  else await runOnce(context, run, undefined)
  return exitCodes.success
}

/** @param policyBytesPerSecondMax what the policy allows; the lower limit counts */
async function runOnce(context: Context, run: AgentRun, policyBytesPerSecondMax: number | undefined): Promise<void> {
  const { settings, clock, random, signal, reporter } = context
  const startedMs = clock.monotonicMs()
  const limits = [settings.bytesPerSecondMax, policyBytesPerSecondMax].filter((limit) => limit !== undefined)
  const connection = await connectToService({
    identity: run.identity,
    machineId: settings.machineId,
    clock,
    random,
    signal,
    spoolDirectory: settings.handOverDirectory,
    bytesPerSecondMax: limits.length === 0 ? undefined : Math.min(...limits),
    onPending: (segments) => {
      reporter.note(`strata: the service has everything; ${formatCount(segments, 'segment')} wait for its workers`)
    },
    onWait: (error, delayMs) => {
      reporter.note(`strata: ${error.code}: ${error.message}; again in ${formatDuration(delayMs)}`)
    },
  })
  try {
    const outcome = await backUp(context, connection, run)
    reportBackup(context, outcome, null, Math.round(clock.monotonicMs() - startedMs))
  } finally {
    await connection.close()
  }
}

async function loop(context: Context, run: AgentRun): Promise<void> {
  const { settings, clock, random, signal, reporter } = context
  const { identity } = run
  const { client, agents } = openClient({ identity, clock, random, signal, outageMsMax: 0 })
  const keeper = new ScheduleKeeper({
    stateDirectory: settings.stateDirectory,
    endpoint: identity.endpoint,
    clock,
    warn: ({ code, message }) => {
      reporter.warning(`${code}: ${message}`)
    },
  })
  try {
    await runByPolicy({
      keeper,
      askPolicy: async () => (await client.ask(routes.policy)).policy,
      backUp: async () => {
        await runOnce(context, run, keeper.policy?.policy.bytesPerSecondMax)
      },
      clock,
      signal,
      onPolicyProblem: (error) => {
        reporter.note(`strata: ${error.code}: ${error.message}; the last policy is kept to`)
      },
      onRunFailure: (error, againInMs) => {
        const again = againInMs === undefined ? 'with the next scheduled time' : `in ${formatDuration(againInMs)}`
        reporter.warning(`the run failed: ${error.code}: ${error.message}; again ${again}`)
      },
    })
  } catch (error) {
    // Whoever ends a loop wants it to end.
    if (!signal.aborted) throw error
  } finally {
    closeConnections(agents)
  }
}

interface AgentRun {
  readonly identity: AgentIdentity
  readonly sources: readonly NamedSource[]
  readonly setName: string
  readonly options: AgentRunOptions
}

const resumeNotes = {
  'goes-on': 'goes on with the session that an earlier run has begun',
  committed: 'the session of an earlier run has become a point meanwhile',
  over: 'the session of an earlier run is over; this one begins anew',
}

async function backUp(
  context: Context,
  { uplink }: ServiceConnection,
  { sources, setName, options }: AgentRun,
): Promise<BackupOutcome> {
  const { settings, clock, signal, reporter } = context
  const progress = new DiskProgress(reporter, sources)
  const told = new Set<string>()
  const tell = ({ code, message }: Warning): void => {
    const text = `${code}: ${message}`
    if (!told.has(text)) reporter.warning(text)
    told.add(text)
  }
  try {
    const outcome = await backupSet({
      uplink,
      sources,
      setName,
      kind: options.full === true ? 'full' : options.differential === true ? 'differential' : 'auto',
      ...(options.blockSize === undefined ? {} : { blockBytes: parseBlockSize(options.blockSize) }),
      stateDirectory: settings.stateDirectory,
      allowChanging: options.allowChanging === true,
      clock,
      signal,
      onWarning: tell,
      onResume: (what) => {
        reporter.note(`strata: ${resumeNotes[what]}`)
      },
      onProgress: (state) => {
        if (state.phase === 'scan') progress.update(state)
        else reporter.log(`backup: ${state.phase}`)
      },
    })
    outcome.warnings.forEach(tell)
    return outcome
  } finally {
    progress.end()
  }
}
