import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { open, readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { systemClock } from '@strata/shared/clock.ts'
import { dropCache } from '@strata/shared/system/page-cache.ts'
import { runTool } from '../../fixtures/tool.ts'
import { Mounted } from '../../nbd/mounted.ts'
import { RawClient } from '../../nbd/raw-client.ts'
import { StrataRepository } from '../contestants/strata.ts'
import { changeScattered, type BenchImage } from '../images.ts'
import { measure } from '../measure.ts'
import type { MountResult } from '../results.ts'
import { seededNumbers } from '../statistics.ts'

const readBytes = 4096
const randomReads = 300

export interface MountSize {
  readonly runs: number
  /** In the chain whose first and last points are opened. */
  readonly points: number
}

/**
 * A disk over NBD beside nbdkit's file plugin on the raw image: read from its beginning to its end by nbdcopy, in turns, with
 * nothing of either in the system's cache; small reads anywhere; and opening the first and the last point of a long chain.
 */
export async function measureMount(
  directory: string,
  image: BenchImage,
  small: BenchImage,
  { runs, points }: MountSize,
  signal: AbortSignal,
): Promise<MountResult> {
  const repository = new StrataRepository(join(directory, 'mount'))
  await repository.create()
  await measure(repository.command('backup', `disk=${image.path}`, '--set', 'disk'), signal)
  const socket = join(directory, 'mount.sock')
  const mount = async (point: string): Promise<Mounted> => {
    const { env } = repository.command('mount')
    return await Mounted.start([point, '--socket', socket], env)
  }
  const result = {
    strataSeconds: [] as number[],
    nbdkitSeconds: [] as number[],
    randomReadMs: [] as number[],
    points,
    firstOpenSeconds: [] as number[],
    lastOpenSeconds: [] as number[],
  }
  for (let run = 0; run < runs; run += 1) {
    await forget(image.path, repository.storeDirectory)
    result.nbdkitSeconds.push(await readByNbdkit(image.path, join(directory, 'nbdkit.sock'), signal))
    await forget(image.path, repository.storeDirectory)
    await using mounted = await mount('latest:disk')
    result.strataSeconds.push(await copySeconds(mounted.answer.uri, signal))
  }
  await forget(image.path, repository.storeDirectory)
  {
    await using _ = await mount('latest:disk')
    result.randomReadMs.push(...(await readAnywhere(socket)))
  }
  const sequence: string[] = []
  for (let number = 0; number < points; number += 1) {
    if (number > 0) await changeScattered(small, 0.01, number)
    const { output } = await measure(repository.command('backup', `disk=${small.path}`, '--set', 'chain'), signal)
    sequence.push((JSON.parse(output) as { point: string }).point)
  }
  for (let run = 0; run < runs; run += 1) {
    result.firstOpenSeconds.push(await openSeconds(() => mount(sequence[0] ?? ''), socket))
    result.lastOpenSeconds.push(await openSeconds(() => mount(sequence.at(-1) ?? ''), socket))
  }
  await repository.remove()
  return result
}

async function copySeconds(uri: string, signal: AbortSignal): Promise<number> {
  const startedMs = performance.now()
  await runTool('nbdcopy', [uri, 'null:'], { signal })
  return (performance.now() - startedMs) / 1000
}

async function readByNbdkit(path: string, socket: string, signal: AbortSignal): Promise<number> {
  const server = spawn('nbdkit', ['-f', '-U', socket, 'file', `file=${path}`], { stdio: 'ignore' })
  const ended = once(server, 'exit')
  const uri = `nbd+unix:///?socket=${socket}`
  try {
    for (let tried = 0; ; tried += 1) {
      try {
        await runTool('nbdinfo', ['--size', uri], { signal })
        break
      } catch (error) {
        if (tried === 100) throw error
        await systemClock.sleep(50)
      }
    }
    return await copySeconds(uri, signal)
  } finally {
    server.kill()
    await ended
    await rm(socket, { force: true })
  }
}

/** Small reads of what is no hole, one after the other. */
async function readAnywhere(socket: string): Promise<number[]> {
  await using client = await RawClient.ready(socket, { structured: true, allocation: true })
  const stretches = await client.dataStretches()
  const random = seededNumbers(4)
  const totalBytes = stretches.reduce((sum, { length }) => sum + length, 0)
  const times: number[] = []
  for (let index = 0; index < randomReads; index += 1) {
    let at = Math.floor((random() * (totalBytes - readBytes)) / readBytes) * readBytes
    const stretch = stretches.find(({ length }) => {
      if (at + readBytes <= length) return true
      at -= length
      return false
    })
    if (stretch === undefined) continue
    const startedMs = performance.now()
    client.request(0, BigInt(stretch.offset + Math.max(0, at)), readBytes)
    await client.chunks()
    times.push(performance.now() - startedMs)
  }
  return times
}

/** From the start of the program to the first bytes. */
async function openSeconds(mount: () => Promise<Mounted>, socket: string): Promise<number> {
  const startedMs = performance.now()
  await using _ = await mount()
  await using client = await RawClient.ready(socket)
  client.request(0, 0n, readBytes)
  await client.simpleReply(readBytes)
  return (performance.now() - startedMs) / 1000
}

/** What the system has cached of the image and of the store. */
async function forget(image: string, store: string): Promise<void> {
  const entries = await readdir(store, { recursive: true, withFileTypes: true })
  const paths = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name))
  await runTool('sync', ['-f', image])
  for (const path of [image, ...paths]) {
    await using file = await open(path)
    await dropCache(file.fd)
  }
}
