import { assertHarmless, describeRun } from '../end-to-end/place.ts'
import type { ErrorCode } from '@strata/shared/errors.ts'
import type { EndedRun } from './agent-machine.ts'
import type { Fault, Round, Scenario, Victim } from './scenario.ts'

/** What is wrong with how a run has ended, whatever it met. */
export function problemsOfRun(ended: EndedRun, mustSucceed: boolean): string[] {
  const { run, result, answer, code, error } = ended
  const who = run.machine.label
  const said = briefly(describeRun(result))
  if (run.isLate) return [`${who}: its run neither ended nor failed: ${said}`]
  if (result.signal !== null) return []
  const problems: string[] = []
  try {
    assertHarmless(result)
  } catch (failure) {
    problems.push(`${who}: ${(failure as Error).message}: ${said}`)
  }
  if (answer !== undefined) return problems
  if (code === undefined || error?.kind === 'bug') return [...problems, `${who}: a run broke down: ${said}`]
  if (mustSucceed) return [...problems, `${who}: a run failed that was to succeed: ${said}`]
  return neverAnswered.includes(code) ? [...problems, `${who}: nothing explains ${code}: ${said}`] : problems
}

const linesShown = 16

/** The end of what was said, and each line once. */
export function briefly(text: string): string {
  const lines = [...new Set(text.split('\n').filter((line) => line !== ''))]
  return `${lines.length > linesShown ? '…' : ''}${lines.slice(-linesShown).join('\n      ')}`
}

/** Errors that no fault of a scenario explains. */
const neverAnswered: readonly ErrorCode[] = [
  'E_FORMAT_DAMAGED',
  'E_FORMAT_KIND',
  'E_FORMAT_NEWER',
  'E_SEAL_BROKEN',
  'E_SEGMENT_INVALID',
  'E_REQUEST_INVALID',
  'E_ROUTE_UNKNOWN',
  'E_TOKEN_INVALID',
  'E_SERVICE_REFUSED',
  'E_LIMIT',
  'E_POINT_UNKNOWN',
  'E_DISK_NAME',
]

/** Whether a fault may end the run of an agent: the others it must get over. */
function mayEnd(fault: Fault, agent: number, { store, shape }: Scenario): boolean {
  switch (fault.kind) {
    case 'kill':
      return isOf(fault.whom, agent)
    case 'die':
      return isOf(fault.whom, agent)
    case 'pause':
    case 'lost digests':
      return false
    case 'network':
      // Without an answer for longer than it is patient.
      return fault.how === 'hang' && fault.at.count > 2
    case 'store':
      return fault.at.count > 20 || (fault.how === 'hang' && fault.at.count > 1)
    case 'full disk':
      return true
    case 'clock':
      // S3 refuses what a wrong clock has signed; and gateways whose clocks differ by hours make nobody happy.
      return store === 's3' || (fault.whom === 'service' && shape === 'pair')
    case 'write':
    case 'clone':
    case 'torn journal':
      return fault.agent === agent
  }
}

function isOf(whom: Victim, agent: number): boolean {
  return whom === 'everything' || ('agent' in whom && whom.agent === agent)
}

export function mustSucceed(scenario: Scenario, { faults }: Round, agent: number): boolean {
  if (scenario.sessionLifeMs !== undefined) return false
  return !faults.some((fault) => mayEnd(fault, agent, scenario))
}

/** Whether what was acknowledged may be sent again: where its session may be over by now. */
export function mayBegin(scenario: Scenario, faults: readonly Fault[], agent: number): boolean {
  if (scenario.sessionLifeMs !== undefined) return true
  return faults.some((fault) => {
    return (fault.kind === 'clone' || fault.kind === 'torn journal') && fault.agent === agent
  })
}
