import type { BackupAnswer } from '../../fixtures/strata-program.ts'
import { startCephRgw } from '../../servers/ceph-rgw.ts'
import { StrataRepository } from '../contestants/strata.ts'
import { changeScattered, type BenchImage } from '../images.ts'
import { measure } from '../measure.ts'
import type { RequestsResult } from '../results.ts'

const GiB = 1024 ** 3
const changedPart = 0.02
const bucket = 'strata-bench'

/** What a full backup and an incremental one ask of an S3 store. */
export async function countRequests(
  directory: string,
  image: BenchImage,
  signal: AbortSignal,
): Promise<RequestsResult[]> {
  const server = await startCephRgw({ memoryBytesMax: 2 * image.dataBytes + 2 * GiB })
  try {
    await server.createBucket(bucket)
    const repository = new StrataRepository(directory, { url: server.storeUrl(bucket), env: server.env })
    await repository.create()
    const results: RequestsResult[] = []
    for (const changed of [false, true]) {
      if (changed) await changeScattered(image, changedPart, 1)
      const { output } = await measure(repository.backup(image.path), signal)
      const { kind, changedBytes, requests } = JSON.parse(output) as BackupAnswer
      results.push({ kind, changedBytes, requests })
    }
    await repository.remove()
    return results
  } finally {
    await server.stop()
  }
}
