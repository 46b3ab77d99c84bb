import { setTimeout as sleep } from 'node:timers/promises'
import { startCephRgw, type CephRgw } from '../../servers/ceph-rgw.ts'
import type { ScalingResult } from '../results.ts'
import type { RoundAnswer } from '../service/agents-process.ts'
import { BenchService } from '../service/bench-service.ts'
import type { Forked } from '../service/forked.ts'

const KiB = 1024
const MiB = 1024 * KiB
const GiB = 1024 * MiB

const agents = 8
const pollMs = 100

/**
 * How long one and two worker processes take for the same backlog. All of it is staged before the first worker starts,
 * so that no agent takes the processors from them; the store does.
 */
export async function measureScaling(
  directory: string,
  { diskBytes }: { readonly diskBytes: number },
  signal: AbortSignal,
): Promise<ScalingResult[]> {
  const results: ScalingResult[] = []
  for (const workers of [1, 2]) {
    const server = await startCephRgw({ memoryBytesMax: 3 * agents * diskBytes + 2 * GiB })
    try {
      results.push(await measureWorkers(directory, server, workers, diskBytes, signal))
    } finally {
      await server.stop()
    }
  }
  return results
}

async function measureWorkers(
  directory: string,
  server: CephRgw,
  workers: number,
  diskBytes: number,
  signal: AbortSignal,
): Promise<ScalingResult> {
  const [store, staging] = ['strata-bench', 'strata-bench-staging']
  await server.createBucket(store)
  await server.createBucket(staging)
  const stores = { storeUrl: server.storeUrl(store), stagingUrl: server.storeUrl(staging), env: server.env }
  const service = await BenchService.start({ directory, tenants: ['scaling'], stores, signal })
  try {
    await service.serve({ roles: 'gateway,commit' })
    const about = { prefix: 'scaling', agents, blockBytes: 256 * KiB, changedBlocks: 0, atOnce: agents, scanThreads: 1 }
    const fleet = await service.agents('scaling', { ...about, diskBytes })
    await fleet.ask('beginRound', { full: true })
    await untilAllSent(fleet, signal)
    const before = await service.cost()
    const startedMs = performance.now()
    await Promise.all(Array.from({ length: workers }, () => service.serve({ roles: 'ingest', threads: 1 })))
    await fleet.ask<RoundAnswer>('endRound')
    const seconds = (performance.now() - startedMs) / 1000
    const { cpuSeconds } = await service.cost()
    return { workers, bytes: agents * diskBytes, seconds, serviceCpuSeconds: cpuSeconds - before.cpuSeconds }
  } finally {
    await service.stop()
  }
}

async function untilAllSent(fleet: Forked, signal: AbortSignal): Promise<void> {
  while ((await fleet.ask<number>('sent')) < agents) await sleep(pollMs, undefined, { signal })
}
