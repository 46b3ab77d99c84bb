import { mkdir, rm } from 'node:fs/promises'
import { randomFillSync } from 'node:crypto'
import { systemClock, systemRandomBytes } from '@strata/shared/clock.ts'
import { readBytesMax, scrubObjectsAtOnceMax } from '@strata/shared/limits.ts'
import { mapConcurrently } from '@strata/shared/repository/concurrency.ts'
import type { ObjectInfo, ObjectStore } from '@strata/shared/store/object-store.ts'
import { openStore } from '@strata/shared/store/open-store.ts'
import { PiecePool } from '@strata/workers/maintain/scrub/piece-pool.ts'
import { scrubSet } from '@strata/workers/maintain/scrub/scrub-set.ts'
import { diskOf, makePoint, makeRepository } from '../../fixtures/make-point.ts'
import type { ScrubResult } from '../results.ts'

const MiB = 1024 ** 2
const pointBytesMax = 256 * MiB

/**
 * A scrub of all there is, beside the plain reading of the same objects out of the same store: as many at the same time,
 * in pieces of the same size, and nothing done with them.
 */
export async function measureScrub(
  directory: string,
  { bytes, runs }: { readonly bytes: number; readonly runs: number },
  signal: AbortSignal,
): Promise<ScrubResult> {
  await mkdir(directory, { recursive: true })
  const url = `file://${directory}`
  const store = await openStore(url, { env: {}, clock: systemClock, randomBytes: systemRandomBytes, create: true })
  const owner = await makeRepository({ store })
  for (let made = 0; made < bytes; made += pointBytesMax) {
    signal.throwIfAborted()
    const content = randomFillSync(Buffer.allocUnsafe(Math.min(pointBytesMax, bytes - made)))
    await makePoint(owner, { disks: [diskOf('disk', content, 256 * 1024)] })
  }
  const { repository } = owner
  const set = repository.setIdOf('machine')
  const result = { bytes: 0, readSeconds: [] as number[], scrubSeconds: [] as number[] }
  await using pool = new PiecePool()
  // The first scrub starts the threads; the first reading, what the store has.
  for (let run = -1; run < runs; run += 1) {
    signal.throwIfAborted()
    const readSeconds = await timed(() => readAll(store))
    await removeLedger(store)
    const scrubSeconds = await timed(async () => {
      const scrubbed = await scrubSet({ repository, set, everyDays: 30, pool, signal })
      if (scrubbed === undefined || scrubbed.damage.length > 0) throw new Error('a scrub of what is whole')
      result.bytes = scrubbed.checkedBytes
    })
    if (run < 0) continue
    result.readSeconds.push(readSeconds)
    result.scrubSeconds.push(scrubSeconds)
  }
  await store.close()
  await rm(directory, { recursive: true })
  return result
}

async function readAll(store: ObjectStore): Promise<void> {
  const objects = (await Array.fromAsync(store.list(''))).filter(({ name }) => name.includes('/chains/'))
  for await (const _ of mapConcurrently(objects, scrubObjectsAtOnceMax, (object) => readObject(store, object)));
}

async function readObject(store: ObjectStore, { name, sizeBytes }: ObjectInfo): Promise<void> {
  for (let offset = 0; offset < sizeBytes; offset += readBytesMax) {
    const bytes = await store.get(name, { offset, length: Math.min(readBytesMax, sizeBytes - offset) })
    // As a scrub does: else it would be the garbage collection that is measured.
    bytes.buffer.transfer(0)
  }
}

/** Then all is new to the next scrub. */
async function removeLedger(store: ObjectStore): Promise<void> {
  for await (const { name } of store.list('')) if (name.includes('/scrub/')) await store.delete(name)
}

async function timed(work: () => Promise<void>): Promise<number> {
  const startedMs = performance.now()
  await work()
  return (performance.now() - startedMs) / 1000
}
