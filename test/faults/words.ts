import type { Change, DeadlyCall, Fault, Requests, Round, Scenario, Victim, When } from './scenario.ts'

/** A scenario in words, a line each. */
export function inWords(scenario: Scenario): string[] {
  const { seed, store, staged, shape, sessionLifeMs, agents, rounds } = scenario
  const service =
    shape === 'alone' ? 'one process with a private Redis' : 'two gateways that pack, and one that commits'
  const where = `${store === 's3' ? 'S3' : 'a directory'}${staged ? ', segments staged' : ''}`
  const life = sessionLifeMs === undefined ? '' : `; sessions live ${String(sessionLifeMs)} ms`
  return [
    `seed ${String(seed)}: ${where}; ${service}${life}`,
    ...agents.map(({ name, diskBytes }) => `  ${name}: disks of ${diskBytes.map(String).join(' and ')} bytes`),
    ...rounds.flatMap((round, index) => [`  round ${String(index + 1)}: ${roundInWords(round, agents)}`]),
  ]
}

function roundInWords({ changes, full, faults }: Round, agents: Scenario['agents']): string {
  const told = agents.flatMap(({ name }, index) => {
    const parts = [...(changes[index] ?? []).map(changeInWords), ...(full[index] === true ? ['a full'] : [])]
    return parts.length === 0 ? [] : [`${name}: ${parts.join(', ')}`]
  })
  return [...told, ...faults.map(faultInWords)].join('; ') || 'nothing goes wrong'
}

function changeInWords({ disk, what, from, length }: Change): string {
  return `${what} disk ${String(disk)} ${String(from)}+${String(length)} ‰`
}

export function faultInWords(fault: Fault): string {
  switch (fault.kind) {
    case 'kill':
      return `kill ${victimInWords(fault.whom)} ${whenInWords(fault.when)}, back after ${String(fault.backAfterMs)} ms`
    case 'pause':
      return `stop ${victimInWords(fault.whom)} ${whenInWords(fault.when)} for ${String(fault.forMs)} ms`
    case 'die':
      return `${victimInWords(fault.whom)} dies ${callInWords(fault.at)}`
    case 'network':
      return `network: ${fault.how} at ${requestsInWords(fault.at)}`
    case 'store':
      return `store: ${fault.how} at ${requestsInWords(fault.at)}`
    case 'full disk':
      return `${fault.where} has ${String(fault.freeBytes)} bytes free`
    case 'clock':
      return `clocks of ${fault.whom} jump by ${String(fault.shiftMs / 3600_000)} h after ${String(fault.afterMs)} ms`
    case 'write':
      return `agent ${String(fault.agent)}'s disk is written to after ${fault.afterMs.map(String).join(', ')} ms`
    case 'clone':
      return `agent ${String(fault.agent)} is cloned to ${fault.sameMachine ? 'the same' : 'another'} machine id after ${String(fault.afterMs)} ms`
    case 'torn journal':
      return `agent ${String(fault.agent)}'s journal keeps ${String(fault.keepThousandth)} ‰`
    case 'lost digests':
      return `agent ${String(fault.agent)} loses its digests`
  }
}

function victimInWords(whom: Victim): string {
  if (whom === 'everything') return whom
  if ('agent' in whom) return `agent ${String(whom.agent)}`
  if ('server' in whom) return `server ${String(whom.server)}`
  return `Redis (${whom.redis})`
}

function whenInWords(when: When): string {
  if ('afterMs' in when) return `after ${String(when.afterMs)} ms`
  return `${String(when.delayMs)} ms after ${when.event} ${String(when.nth)}`
}

function requestsInWords({ event, from, count }: Requests): string {
  return `${event} ${String(from)}${count === 1 ? '' : ` to ${String(from + count - 1)}`}`
}

function callInWords({ call, path, nth, when }: DeadlyCall): string {
  return `${when === 'half' ? 'in the middle of' : when} ${call} ${String(nth)} of …${path}…`
}
