import { join } from 'node:path'
import type { StoreTotals } from '@strata/shared/store/decorators/metrics.ts'
import { startCephRgw } from '../../servers/ceph-rgw.ts'
import { StrataRepository } from '../contestants/strata.ts'
import { changeScattered, type BenchImage } from '../images.ts'
import { measure, warmUp } from '../measure.ts'
import type { SynthResult } from '../results.ts'

const GiB = 1024 ** 3
const bucket = 'strata-bench'
const deadShares = [0.01, 0.05, 0.2]
/** Bytes that one measurement leaves in the store: two fulls, and what has changed. */
const storedPerDataByte = 2.5

/** What `strata synth --json` answers, as far as it is of interest here. */
interface SynthAnswer {
  readonly serverSideBytes: number
  readonly workerBytes: number
  readonly durationMs: number
  readonly requests: StoreTotals
}

interface Place {
  readonly name: string
  readonly repository: StrataRepository
}

/**
 * A full from the endpoint, some of its blocks changed, and a full made of what is stored then: how long each takes,
 * and how much of the second passes through the worker. Each in a set of its own.
 */
async function measureIn({ name, repository }: Place, image: BenchImage, signal: AbortSignal): Promise<SynthResult[]> {
  await repository.create()
  const results: SynthResult[] = []
  for (const [index, deadShare] of deadShares.entries()) {
    const set = `dead-${String(index)}`
    const backup = repository.command('backup', `disk=${image.path}`, '--set', set)
    await warmUp(image.path, signal)
    const full = await measure(backup, signal)
    await changeScattered(image, deadShare, index + 1)
    await measure(backup, signal)
    const synth = await measure(repository.command('synth', '--set', set), signal)
    const { serverSideBytes, workerBytes, requests } = JSON.parse(synth.output) as SynthAnswer
    const { seconds } = synth
    results.push({ store: name, deadShare, fullSeconds: full.seconds, seconds, serverSideBytes, workerBytes, requests })
  }
  await repository.remove()
  return results
}

/** @param inDirectory the image for a directory; `inS3` that for Ceph RGW, which keeps objects in memory, or null: not there */
export async function measureSynth(
  directory: string,
  inDirectory: BenchImage,
  inS3: BenchImage | null,
  signal: AbortSignal,
): Promise<SynthResult[]> {
  const repository = new StrataRepository(join(directory, 'synth'))
  const results = await measureIn({ name: 'directory', repository }, inDirectory, signal)
  if (inS3 === null) return results
  const memoryBytesMax = deadShares.length * storedPerDataByte * inS3.dataBytes + 2 * GiB
  const server = await startCephRgw({ memoryBytesMax })
  try {
    await server.createBucket(bucket)
    const store = { url: server.storeUrl(bucket), env: server.env }
    const place = { name: 'Ceph RGW', repository: new StrataRepository(join(directory, 'synth-s3'), store) }
    return [...results, ...(await measureIn(place, inS3, signal))]
  } finally {
    await server.stop()
  }
}
