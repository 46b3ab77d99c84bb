import { addStoreTotals, type StoreTotals } from '@strata/shared/store/decorators/metrics.ts'
import { machineCpuSeconds } from '../process-tree.ts'
import type { FleetResult, FleetRound } from '../results.ts'
import type { RoundAnswer } from '../service/agents-process.ts'
import { BenchService, type ServiceCost } from '../service/bench-service.ts'
import type { Forked } from '../service/forked.ts'
import { sum } from '../statistics.ts'

const KiB = 1024
const MiB = 1024 * KiB

export interface FleetSize {
  readonly agents: number
  /** After the first one, in which all disks are new. */
  readonly rounds: number
}

/** Many endpoints with small disks, of which a little changes: what one small point costs a service. */
export async function measureFleet(
  directory: string,
  { agents, rounds }: FleetSize,
  signal: AbortSignal,
  say: (text: string) => void,
): Promise<FleetResult> {
  const about = { agents, diskBytes: 8 * MiB, blockBytes: 64 * KiB, changedBlocks: 4, atOnce: 16, scanThreads: 1 }
  const service = await BenchService.start({ directory, tenants: ['fleet'], signal })
  try {
    await service.serve()
    const fleet = await service.agents('fleet', { ...about, prefix: 'fleet' })
    const meter = new RoundMeter(service, fleet)
    await meter.begin()
    const taken: FleetRound[] = []
    for (let round = 0; round <= rounds; round += 1) {
      signal.throwIfAborted()
      taken.push(await meter.round())
      say(`fleet, round ${String(round)}: ${(taken.at(-1)?.seconds ?? 0).toFixed(1)} s`)
    }
    const { diskBytes, blockBytes, changedBlocks, atOnce } = about
    return { agents, atOnce, diskBytes, changedBytes: changedBlocks * blockBytes, rounds: taken }
  } finally {
    await service.stop()
  }
}

/** What one round cost: the differences of what everything has taken so far. */
class RoundMeter {
  readonly #service: BenchService
  readonly #agents: Forked
  #before: { readonly service: ServiceCost; readonly agentsCpuSeconds: number } | undefined

  constructor(service: BenchService, agents: Forked) {
    this.#service = service
    this.#agents = agents
  }

  async begin(): Promise<void> {
    const { cpuSeconds } = await this.#agents.ask<RoundAnswer>('round', { agents: 0 })
    this.#before = { service: await this.#service.cost(), agentsCpuSeconds: cpuSeconds }
  }

  async round(): Promise<FleetRound> {
    if (this.#before === undefined) throw new Error('a round has no beginning')
    const { service: before, agentsCpuSeconds: agentsBefore } = this.#before
    const machineBefore = machineCpuSeconds()
    const { seconds, backups, cpuSeconds } = await this.#agents.ask<RoundAnswer>('round', {})
    const machine = machineCpuSeconds() - machineBefore
    const service = await this.#service.cost()
    this.#before = { service, agentsCpuSeconds: cpuSeconds }
    const [serviceCpuSeconds, redisCpuSeconds, agentsCpuSeconds] = [
      service.cpuSeconds - before.cpuSeconds,
      service.redisCpuSeconds - before.redisCpuSeconds,
      cpuSeconds - agentsBefore,
    ]
    return {
      seconds,
      points: backups.length,
      backupSeconds: backups.map((one) => one.seconds),
      commitSeconds: backups.map((one) => one.commitSeconds),
      changedBytes: sum(backups.map((one) => one.changedBytes)),
      serviceCpuSeconds,
      redisCpuSeconds,
      agentsCpuSeconds,
      othersCpuSeconds: Math.max(0, machine - serviceCpuSeconds - redisCpuSeconds - agentsCpuSeconds),
      serviceResidentBytes: service.residentBytes,
      redis: service.redis,
      requests: difference(service.requests, before.requests),
    }
  }
}

function difference(after: StoreTotals, before: StoreTotals): StoreTotals {
  const negative = (totals: StoreTotals['byKind']['put']): StoreTotals['byKind']['put'] => ({
    requests: -totals.requests,
    bytesSent: -totals.bytesSent,
    bytesReceived: -totals.bytesReceived,
  })
  const { put, copy, get, head, list, tag, lock, delete: deleted } = before.byKind
  return addStoreTotals(after, {
    ...before,
    byKind: {
      put: negative(put),
      copy: negative(copy),
      get: negative(get),
      head: negative(head),
      list: negative(list),
      tag: negative(tag),
      lock: negative(lock),
      delete: negative(deleted),
    },
  })
}
