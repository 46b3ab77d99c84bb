import { mkdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { strataMemory, type StrataRepository } from '../contestants/strata.ts'
import { changeScattered, type BenchImage } from '../images.ts'
import { measure, type Command } from '../measure.ts'
import type { MemoryResult } from '../results.ts'

const changedPart = 0.02

/** Peak memory of each part of strata on an image: full backup, incremental after a change, restore. */
export async function measureMemory(
  repository: StrataRepository,
  image: BenchImage,
  directory: string,
  signal: AbortSignal,
): Promise<MemoryResult[]> {
  await mkdir(directory, { recursive: true })
  const target = join(directory, 'restored.img')
  const run = async (name: MemoryResult['command'], command: Command): Promise<MemoryResult> => {
    const { seconds, peaks } = await measure(command, signal)
    const { name: imageName, sizeBytes, dataBytes } = image
    return { image: imageName, sizeBytes, dataBytes, command: name, seconds, memory: strataMemory(peaks) }
  }
  await repository.create()
  const results = [await run('backup', repository.backup(image.path))]
  await changeScattered(image, changedPart, 1)
  results.push(await run('backup again', repository.backup(image.path)))
  results.push(await run('restore', repository.restore(target)))
  await rm(target)
  await repository.remove()
  return results
}
