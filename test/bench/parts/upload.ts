import { join } from 'node:path'
import type { UploadResult } from '../results.ts'
import type { RoundAnswer } from '../service/agents-process.ts'
import { BenchService } from '../service/bench-service.ts'
import { warmUp } from '../measure.ts'

const KiB = 1024

/**
 * A full of one endpoint through the gateway into a directory, beside `strata backup` of the same disk into the same
 * repository. Nothing can be compressed: what is measured is how blocks travel.
 */
export async function measureUpload(
  directory: string,
  { diskBytes, runs }: { readonly diskBytes: number; readonly runs: number },
  signal: AbortSignal,
): Promise<UploadResult> {
  const service = await BenchService.start({ directory, tenants: ['upload'], signal })
  try {
    await service.serve()
    const about = { prefix: 'upload', agents: 1, changedBlocks: 0, atOnce: 1, scanThreads: null }
    const agent = await service.agents('upload', { ...about, diskBytes, blockBytes: 256 * KiB })
    const image = join(directory, 'agents-upload', 'upload1', 'disk.img')
    const result = {
      diskBytes,
      seconds: [] as number[],
      serviceCpuSeconds: [] as number[],
      localSeconds: [] as number[],
    }
    for (let run = 0; run < runs; run += 1) {
      await warmUp(image, signal)
      const before = await service.cost()
      result.seconds.push((await agent.ask<RoundAnswer>('round', { full: true })).seconds)
      result.serviceCpuSeconds.push((await service.cost()).cpuSeconds - before.cpuSeconds)
      await warmUp(image, signal)
      result.localSeconds.push(await service.backUpLocally('upload', image))
    }
    return result
  } finally {
    await service.stop()
  }
}
