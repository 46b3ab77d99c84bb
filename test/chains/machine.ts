import assert from 'node:assert/strict'
import { join } from 'node:path'
import { systemClock, type Clock } from '@strata/shared/clock.ts'
import { chainPrefix } from '@strata/shared/format/names.ts'
import { blockBytesMin, pageEntriesMax } from '@strata/shared/limits.ts'
import { chainPlaceOf, isReadable, listPoints, pointId, type Point } from '@strata/shared/repository/points.ts'
import { Repository } from '@strata/shared/repository/repository.ts'
import { MemoryStore } from '@strata/shared/store/memory.ts'
import { verifyPoints } from '@strata/workers/maintain/verify/verify-points.ts'
import type { ReadPool } from '@strata/workers/read/read-pool.ts'
import { fileHolds } from '../fixtures/file-holds.ts'
import { diskOf, makePoint, makeRepository, seededRandom, type TestRepository } from '../fixtures/make-point.ts'
import { restoreTo } from '../fixtures/restore.ts'
import { temporaryDirectory } from '../fixtures/temporary.ts'

/** A machine of two disks and its points, with real records and small packs, in a store in memory. */
const blockBytes = blockBytesMin
const systemBlocks = pageEntriesMax + 40
const dataBlocks = 20
const recordsPerPack = 4

export class Machine {
  readonly owner: TestRepository
  readonly disks: readonly Buffer[]
  readonly #random

  /** @param seed of what is written to the disks */
  constructor(owner: TestRepository, disks: readonly Buffer[] = emptyDisks(systemBlocks), seed = 'blocks') {
    this.owner = owner
    this.disks = disks
    this.#random = seededRandom(seed)
  }

  /** The same once more, so that whatever is done to it is done to it alone. */
  async copied(clock: Clock = systemClock): Promise<Machine> {
    const { owner, disks } = this
    const store = new MemoryStore({ clock })
    for await (const { name } of owner.store.list('')) await store.put(name, [await owner.store.get(name)])
    const repository = new Repository(store, owner.repository.ingestKeys, owner.random)
    return new Machine(
      { ...owner, store, repository },
      disks.map((bytes) => Buffer.from(bytes)),
      'blocks of a copy',
    )
  }

  write(disk: number, ...blocks: readonly number[]): void {
    for (const block of blocks) this.#part(disk, block).set(this.#random(this.#part(disk, block).length))
  }

  zero(disk: number, ...blocks: readonly number[]): void {
    for (const block of blocks) this.#part(disk, block).fill(0)
  }

  async backUp(kind: 'full' | 'incremental' = 'incremental'): Promise<Point> {
    const base = kind === 'full' ? undefined : await this.newest()
    return await makePoint(this.owner, {
      disks: [
        diskOf('system', this.disks[0] ?? assert.fail(), blockBytes),
        diskOf('data', this.disks[1] ?? assert.fail(), blockBytes),
      ],
      packBlockBytes: recordsPerPack * blockBytes,
      kind,
      countsPacks: true,
      ...(base === undefined ? {} : { base }),
    })
  }

  async newest(): Promise<Point> {
    const points = await pointsOf(this.owner.repository)
    return points.at(-1) ?? assert.fail()
  }

  #part(disk: number, block: number): Buffer {
    return (this.disks[disk] ?? assert.fail()).subarray(block * blockBytes, (block + 1) * blockBytes)
  }
}

/** Two, the first one of so many blocks, of which the last is a short one. */
export function emptyDisks(blocks: number): Buffer[] {
  return [Buffer.alloc((blocks - 1) * blockBytes + 1234), Buffer.alloc(dataBlocks * blockBytes)]
}

export async function pointsOf(repository: Repository): Promise<Point[]> {
  const entries = await Array.fromAsync(listPoints(repository))
  return entries.filter(isReadable)
}

async function buildMachine(): Promise<Machine> {
  const machine = new Machine(await makeRepository())
  machine.write(0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 1024, 1025, 1026, 1027, systemBlocks - 1)
  machine.write(1, 0, 1, 2, 3)
  await machine.backUp('full')
  machine.write(0, 2, 3, 40)
  machine.zero(0, 11)
  await machine.backUp()
  machine.write(0, 3, 1024)
  machine.write(1, 0, 19)
  await machine.backUp()
  return machine
}

const template = await buildMachine()

export function makeMachine(): Promise<Machine> {
  return template.copied()
}

/** The newest point is the machine as it is, intact, and needs no other chain. */
export async function assertWhole(pool: ReadPool, machine: Machine, point: Point): Promise<void> {
  const { owner } = machine
  assert.equal(pointId(point), pointId(await machine.newest()))
  const chain = chainPrefix(chainPlaceOf(owner.repository, point))
  const all = new MemoryStore({ clock: systemClock })
  for await (const { name } of owner.store.list('')) {
    if (name.startsWith(chain) || !name.includes('/chains/')) await all.put(name, [await owner.store.get(name)])
  }
  const alone: TestRepository = {
    ...owner,
    store: all,
    repository: new Repository(all, owner.repository.ingestKeys, owner.random),
  }
  const { privateKey, repository } = alone
  const verified = await verifyPoints({ repository, privateKey, points: [point], pool, clock: systemClock })
  assert.deepEqual([verified.history, verified.damage], [[], []])
  await using directory = await temporaryDirectory()
  for (const [index, bytes] of machine.disks.entries()) {
    const path = join(directory.path, String(index))
    await restoreTo(alone, point, path, { diskName: index === 0 ? 'system' : 'data', pool })
    assert.ok(await fileHolds(path, bytes), `disk ${String(index)}`)
  }
}
