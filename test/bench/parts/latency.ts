import type { StrataRepository } from '../contestants/strata.ts'
import { buildMachineImage } from '../images.ts'
import { measure, warmUp } from '../measure.ts'
import type { TimesResult } from '../results.ts'

const MiB = 1024 ** 2
const smallImageBytes = 100 * MiB
const smallFilesBytes = 60 * MiB
const smallBackups = 5
const lists = 10

export interface LatencyResults {
  readonly small: TimesResult | null
  readonly points: TimesResult | null
}

/** How long a command takes that has next to nothing to do: start, keys, Redis, and the end of all of it. */
export async function measureLatency(
  repository: StrataRepository,
  imagePath: string,
  wanted: { readonly small: boolean; readonly points: boolean },
  signal: AbortSignal,
): Promise<LatencyResults> {
  const image = await buildMachineImage('100 MiB', imagePath, smallImageBytes, smallFilesBytes)
  await repository.create()
  const backup = repository.backup(image.path)
  await measure(backup, signal)
  const timesOf = async (count: number, command = backup): Promise<TimesResult> => {
    await warmUp(image.path, signal)
    const seconds: number[] = []
    for (let run = 0; run < count; run += 1) seconds.push((await measure(command, signal)).seconds)
    return { seconds }
  }
  // The list then has a full point and a few incremental ones.
  const small = await timesOf(smallBackups)
  const points = wanted.points ? await timesOf(lists, repository.command('points')) : null
  await repository.remove()
  return { small: wanted.small ? small : null, points }
}
