import { setTimeout as sleep } from 'node:timers/promises'
import type { UnevenResult } from '../results.ts'
import type { BackupTimes, RoundAnswer } from '../service/agents-process.ts'
import { BenchService } from '../service/bench-service.ts'

const KiB = 1024
const MiB = 1024 * KiB
const pollMs = 100
/** Once so much of the large one is stored, it is under way. */
const underWayBytes = 16 * MiB

/**
 * Small backups of one tenant, one after the other: alone, and beside a tenant that sends fulls without pause. The
 * endpoints of both would be machines of their own; here that of the large one has a lower priority than the rest, so
 * that it does not take the processors from those that it has nothing to do with.
 */
export async function measureUneven(
  directory: string,
  { small, largeBytes }: { readonly small: number; readonly largeBytes: number },
  signal: AbortSignal,
): Promise<UnevenResult> {
  const service = await BenchService.start({ directory, tenants: ['small', 'large'], signal })
  try {
    await service.serve()
    const few = { changedBlocks: 4, atOnce: 1, scanThreads: 1 }
    const smalls = await service.agents('small', {
      ...few,
      prefix: 'small',
      agents: small,
      diskBytes: 8 * MiB,
      blockBytes: 64 * KiB,
    })
    const large = await service.agents('large', {
      ...few,
      prefix: 'large',
      agents: 1,
      diskBytes: largeBytes,
      blockBytes: 256 * KiB,
    })
    large.yieldToOthers()
    const round = async (): Promise<readonly BackupTimes[]> => (await smalls.ask<RoundAnswer>('round')).backups
    await smalls.ask('round', { full: true })
    // Half of what is measured alone comes before and half after, should the machine get slower meanwhile.
    const before = await round()
    const quiet = await service.cost()
    await large.ask('beginWithoutPause')
    while ((await service.cost()).requests.byKind.put.bytesSent - quiet.requests.byKind.put.bytesSent < underWayBytes) {
      await sleep(pollMs, undefined, { signal })
    }
    const besideStartedMs = performance.now()
    const costBefore = await service.cost()
    const beside = await round()
    const besideSeconds = (performance.now() - besideStartedMs) / 1000
    const { requests } = await service.cost()
    await large.ask('endWithoutPause')
    const storedBytes = requests.byKind.put.bytesSent - costBefore.requests.byKind.put.bytesSent
    const after = await round()
    return { small, largeBytes, alone: [...before, ...after], beside, besideSeconds, storedBytes }
  } finally {
    await service.stop()
  }
}
