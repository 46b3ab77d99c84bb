import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { equalBytes } from '../format/bytes.ts'
import { ContentRootBuilder, zeroDigest } from '../format/digest.ts'
import { packName, packReferenceOf, packsPrefix } from '../format/names.ts'
import { openMapFooter, type MapPiece } from '../format/map-footer.ts'
import { decodePackTail } from '../format/pack.ts'
import { diskCounts } from '../format/root.ts'
import { pageEntriesMax } from '../limits.ts'
import {
  recordChange,
  testChain,
  testSession,
  writeTestPoint,
  type TestDisk,
  type TestPoint,
} from '../testing/test-map.ts'
import { makeTestRepository, type TestRepository } from '../testing/test-repository.ts'
import type { BlockChange } from './map-writer.ts'
import type { PointMap } from './point-map.ts'

const blockBytes = 65_536

/** What a map should say: the blocks that are not zeros, as the changes left them. */
interface ModelDisk {
  readonly sizeBytes: number
  readonly blocks: ReadonlyMap<number, Extract<BlockChange, { state: 'record' }>>
}

const emptyDisk: ModelDisk = { sizeBytes: 0, blocks: new Map() }

function applied(before: ModelDisk, { sizeBytes, changes }: TestDisk): ModelDisk {
  const blocks = new Map(before.blocks)
  for (const change of changes) {
    if (change.state === 'zero') blocks.delete(change.block)
    if (change.state !== 'record') continue
    const known = blocks.get(change.block)
    if (known === undefined || !equalBytes(known.digest, change.digest)) blocks.set(change.block, change)
  }
  return { sizeBytes, blocks }
}

async function assertReadsAs(map: PointMap, index: number, model: ModelDisk): Promise<void> {
  const { blocks, pages } = map.counts(index)
  assert.equal(map.disk(index).sizeBytes, model.sizeBytes)
  let number = 0
  for await (const page of map.pages(
    index,
    Array.from({ length: pages }, (_, page) => page),
  )) {
    for (let entry = 0; entry < page.entryCount; entry += 1) {
      const expected = model.blocks.get(number)
      assert.deepEqual(page.place(entry), expected?.place, `place of block ${String(number)}`)
      assert.ok(equalBytes(page.digest(entry), expected?.digest ?? zeroDigest), `digest of block ${String(number)}`)
      number += 1
    }
  }
  assert.equal(number, blocks)
}

function modelRoot({ repository }: TestRepository, { sizeBytes, blocks }: ModelDisk): Buffer {
  const tree = repository.digestKeysOf(testChain(repository).set).tree
  const builder = new ContentRootBuilder(tree, { sizeBytes, blockBytes })
  let next = 0
  for (const block of [...blocks.keys()].sort((a, b) => a - b)) {
    builder.pushZeros(block - next)
    builder.push(blocks.get(block)?.digest ?? zeroDigest)
    next = block + 1
  }
  builder.pushZeros(diskCounts(sizeBytes, blockBytes).blocks - next)
  return builder.finish()
}

/** The pieces that the session of point `number` stored, from the footers of its page packs. */
async function storedPieces({ repository, store }: TestRepository, number: number): Promise<MapPiece[]> {
  const place = { ...testChain(repository), session: testSession(number) }
  const pieces: MapPiece[] = []
  for await (const { name, sizeBytes } of store.list(packsPrefix(place, 'map'))) {
    const reference = packReferenceOf(place, 'map', name)
    assert.equal(reference === undefined ? undefined : packName(place, 'map', reference), name)
    const tail = decodePackTail(name, await store.get(name), sizeBytes)
    assert.ok(typeof tail !== 'number')
    pieces.push(...openMapFooter(name, tail, repository.indexKeys))
  }
  return pieces
}

function pieceNames(pieces: readonly MapPiece[]): string[] {
  return pieces.map(
    ({ disk, level, number }) => `${String(disk)} ${['page', 'node', 'root'][level] ?? '?'} ${String(number)}`,
  )
}

/** Which pieces must be written, and no others: pages whose digests differ and are not all zero, what is above them, the root. */
function expectedPieces(before: readonly ModelDisk[], after: readonly ModelDisk[]): Set<string> {
  const expected = new Set<string>()
  let changed = before.length !== after.length
  for (const [index, disk] of after.entries()) {
    const base = before[index] ?? emptyDisk
    changed ||= base.sizeBytes !== disk.sizeBytes
    const baseCounts = diskCounts(base.sizeBytes, blockBytes)
    const counts = diskCounts(disk.sizeBytes, blockBytes)
    const dirtyNodes = new Set<number>()
    for (let page = 0; page < counts.pages; page += 1) {
      const grown = pageEntries(page, counts.blocks) !== pageEntries(page, baseCounts.blocks)
      if (!grown && samePage(base, disk, page)) continue
      if (pageIsZero(base, page) && pageIsZero(disk, page)) continue
      changed = true
      dirtyNodes.add(Math.floor(page / pageEntriesMax))
      if (!pageIsZero(disk, page)) expected.add(`${String(index)} page ${String(page)}`)
    }
    for (let node = 0; node < counts.nodes; node += 1) {
      const grown = pageEntries(node, counts.pages) !== pageEntries(node, baseCounts.pages)
      const zero = [...disk.blocks.keys()].every((block) => Math.floor(block / pageEntriesMax ** 2) !== node)
      if ((grown || dirtyNodes.has(node)) && !zero) expected.add(`${String(index)} node ${String(node)}`)
    }
  }
  if (changed) expected.add('0 root 0')
  return expected
}

function pageEntries(page: number, blocks: number): number {
  return Math.max(0, Math.min(pageEntriesMax, blocks - page * pageEntriesMax))
}

function pageOf({ blocks }: ModelDisk, page: number): string[] {
  const inPage = [...blocks].filter(([block]) => Math.floor(block / pageEntriesMax) === page)
  return inPage.map(([block, { digest }]) => `${String(block)} ${Buffer.from(digest).toString('hex')}`).sort()
}

function samePage(a: ModelDisk, b: ModelDisk, page: number): boolean {
  return pageOf(a, page).join() === pageOf(b, page).join()
}

function pageIsZero(disk: ModelDisk, page: number): boolean {
  return pageOf(disk, page).length === 0
}

async function writeNext(
  test: TestRepository,
  number: number,
  base: TestPoint | null,
  before: readonly ModelDisk[],
  disks: readonly TestDisk[],
): Promise<{ made: TestPoint; models: ModelDisk[]; pieces: MapPiece[] }> {
  const made = await writeTestPoint(test.repository, number, base?.map ?? null, disks)
  const models = disks.map((disk, index) => applied(before[index] ?? emptyDisk, disk))
  for (const [index, model] of models.entries()) {
    await assertReadsAs(made.map, index, model)
    assert.deepEqual(Buffer.from(made.written.contentRoots[index] ?? []), modelRoot(test, model))
  }
  const pieces = await storedPieces(test, number)
  assert.deepEqual(pieceNames(pieces).sort(), [...expectedPieces(before, models)].sort())
  return { made, models, pieces }
}

const blocksMax = 3 * pageEntriesMax
/** Blocks where pages begin and end, and some between. */
const blockNumber = fc.oneof(
  fc.constantFrom(0, 1, pageEntriesMax - 1, pageEntriesMax, 2 * pageEntriesMax - 1, 2 * pageEntriesMax),
  fc.nat(blocksMax),
)
const step = fc.record({
  grownBytes: fc.constantFrom(0, 0, 1, blockBytes - 1, blockBytes, 5 * blockBytes + 17, pageEntriesMax * blockBytes),
  changes: fc.uniqueArray(
    fc.record({
      block: blockNumber,
      what: fc.constantFrom('record', 'record', 'record', 'zero', 'base'),
      content: fc.constantFrom('a', 'b', 'c'),
    }),
    { selector: ({ block }) => block, maxLength: 12 },
  ),
  zeroedPage: fc.option(fc.nat(3), { freq: 4 }),
})

interface Step {
  readonly grownBytes: number
  readonly changes: readonly { readonly block: number; readonly what: string; readonly content: string }[]
  readonly zeroedPage: number | null
}

function diskAfter(
  before: ModelDisk,
  firstSize: number,
  { grownBytes, changes, zeroedPage }: Step,
  number: number,
): TestDisk {
  const sizeBytes = before.sizeBytes === 0 ? firstSize : before.sizeBytes + grownBytes
  const { blocks } = diskCounts(sizeBytes, blockBytes)
  const made = new Map<number, BlockChange>()
  for (const { block, what, content } of changes) {
    if (block >= blocks) continue
    made.set(
      block,
      what === 'record' ? recordChange(block, content, testSession(number)) : { state: what as 'zero' | 'base', block },
    )
  }
  if (zeroedPage !== null) {
    for (const block of before.blocks.keys()) {
      if (Math.floor(block / pageEntriesMax) === zeroedPage) made.set(block, { state: 'zero', block })
    }
  }
  return { sizeBytes, blockBytes, changes: [...made.values()] }
}

test('property: over several points every map reads as the model, has its content root, and shares what did not change', async () => {
  const firstSize = fc.constantFrom(
    1,
    blockBytes,
    3 * blockBytes + 5,
    pageEntriesMax * blockBytes,
    1500 * blockBytes + 1,
  )
  await fc.assert(
    fc.asyncProperty(
      fc.array(firstSize, { minLength: 1, maxLength: 2 }),
      fc.array(fc.array(step, { minLength: 2, maxLength: 2 }), { minLength: 1, maxLength: 5 }),
      async (sizes, steps) => {
        const repository = makeTestRepository()
        let base: TestPoint | null = null
        let models: readonly ModelDisk[] = []
        for (const [index, ofDisks] of steps.entries()) {
          const number = index + 1
          const disks = sizes.map((size, disk) => {
            const its = ofDisks[disk]
            assert.ok(its)
            return diskAfter(models[disk] ?? emptyDisk, size, its, number)
          })
          const next = await writeNext(repository, number, base, models, disks)
          base = next.made
          models = next.models
        }
      },
    ),
    { numRuns: 60 },
  )
})

test('unchanged: the root of the base serves again, and no object is written', async () => {
  const test = makeTestRepository()
  const disk = { sizeBytes: 2000 * blockBytes, blockBytes }
  const change = recordChange(1100, 'x', testSession(1))
  const first = await writeTestPoint(test.repository, 1, null, [{ ...disk, changes: [change] }])
  const before = test.requests.filter(({ kind }) => kind === 'put').length
  const again: BlockChange[] = [
    recordChange(1100, 'x', testSession(2)),
    { state: 'base', block: 3 },
    { state: 'zero', block: 7 },
  ]
  const second = await writeTestPoint(test.repository, 2, first.map, [{ ...disk, changes: again }])
  assert.equal(test.requests.filter(({ kind }) => kind === 'put').length, before)
  assert.deepEqual(second.written.root, first.written.root)
  assert.equal(second.written.storedBytes, 0)
  const third = await writeTestPoint(test.repository, 3, second.map, [{ ...disk, changes: [] }])
  assert.deepEqual(third.written.root, first.written.root)
})

test('the last page of a disk that grew is written anew, also when only blocks behind it changed', async () => {
  const test = makeTestRepository()
  const grown = 3 * pageEntriesMax
  const model = (...blocks: number[]): ModelDisk => {
    const made = blocks.map((block) => recordChange(block, 'x', testSession(block < 1500 ? 1 : 2)))
    return applied(emptyDisk, { sizeBytes: grown * blockBytes, blockBytes, changes: made })
  }
  const first = await writeTestPoint(test.repository, 1, null, [
    { sizeBytes: 1500 * blockBytes, blockBytes, changes: [recordChange(1100, 'x', testSession(1))] },
  ])
  const second = await writeTestPoint(test.repository, 2, first.map, [
    { sizeBytes: grown * blockBytes, blockBytes, changes: [recordChange(2100, 'x', testSession(2))] },
  ])
  await assertReadsAs(second.map, 0, model(1100, 2100))
  assert.deepEqual(pieceNames(await storedPieces(test, 2)), ['0 page 1', '0 page 2', '0 node 0', '0 root 0'])
})

test('a disk of the largest size with a few blocks: pages, nodes and requests are counted by the changes', async () => {
  const test = makeTestRepository()
  const blocks = 2 ** 26
  const disk = { sizeBytes: blocks * blockBytes, blockBytes }
  const at = (...numbers: number[]): BlockChange[] => numbers.map((block) => recordChange(block, 'x', testSession(1)))
  const first = await writeTestPoint(test.repository, 1, null, [
    { ...disk, changes: at(0, 1, pageEntriesMax ** 2 - 1, pageEntriesMax ** 2, blocks - 1) },
  ])
  assert.deepEqual(pieceNames(await storedPieces(test, 1)).sort(), [
    ...['0 node 0', '0 node 1', '0 node 63', '0 page 0', '0 page 1023', '0 page 1024', '0 page 65535', '0 root 0'],
  ])
  const second = await writeTestPoint(test.repository, 2, first.map, [
    { ...disk, changes: [{ state: 'zero', block: pageEntriesMax ** 2 }, recordChange(5000, 'y', testSession(2))] },
  ])
  assert.deepEqual(pieceNames(await storedPieces(test, 2)).sort(), ['0 node 0', '0 page 4', '0 root 0'])
  assert.equal(second.map.disk(0).nodes.isZero(1), true)
  const page = (await Array.fromAsync(second.map.pages(0, [65_535]))).at(0)
  assert.deepEqual(page?.place(1023)?.pack.session, testSession(1))
})

test('many changed pages are one page pack, in the order of the disk, each node after its pages and the root last', async () => {
  const test = makeTestRepository()
  const pages = 130
  const disk = { sizeBytes: pages * pageEntriesMax * blockBytes, blockBytes }
  const changes = Array.from({ length: pages }, (_, page) => recordChange(page * pageEntriesMax, 'x', testSession(1)))
  await writeTestPoint(test.repository, 1, null, [
    { ...disk, changes },
    { ...disk, changes },
  ])
  const numbers = Array.from({ length: pages }, (_, page) => page)
  const expected = [0, 1].flatMap((index) => [
    ...numbers.map((page) => `${String(index)} page ${String(page)}`),
    `${String(index)} node 0`,
  ])
  assert.deepEqual(pieceNames(await storedPieces(test, 1)), [...expected, '0 root 0'])
  const objects = await Array.fromAsync(test.store.list(''))
  assert.equal(objects.length, 1)
})

test("the root has the base's data keys and the session's own", async () => {
  const test = makeTestRepository()
  const keyOf = (number: number) => ({
    keyId: testSession(number) as never,
    encapsulated: new Uint8Array(32).fill(number),
    sealed: new Uint8Array(48).fill(number),
  })
  const disk = { sizeBytes: blockBytes, blockBytes }
  const first = await writeTestPoint(
    test.repository,
    1,
    null,
    [{ ...disk, changes: [recordChange(0, 'x', testSession(1))] }],
    [keyOf(1)],
  )
  const second = await writeTestPoint(
    test.repository,
    2,
    first.map,
    [{ ...disk, changes: [recordChange(0, 'y', testSession(2))] }],
    [keyOf(2)],
  )
  assert.deepEqual(second.map.root.keys, [keyOf(1), keyOf(2)])
  assert.deepEqual(first.map.root.keys, [keyOf(1)])
})

test('a disk that shrank, another block size and changes outside of the disk are our own mistakes', async () => {
  const test = makeTestRepository()
  const disk = { sizeBytes: 5 * blockBytes, blockBytes, changes: [] }
  const first = await writeTestPoint(test.repository, 1, null, [disk])
  const bug = { code: 'E_BUG' }
  await assert.rejects(writeTestPoint(test.repository, 2, first.map, [{ ...disk, sizeBytes: 4 * blockBytes }]), bug)
  await assert.rejects(
    writeTestPoint(test.repository, 2, first.map, [
      { ...disk, blockBytes: 2 * blockBytes, sizeBytes: 20 * blockBytes },
    ]),
    bug,
  )
  const outside = [recordChange(pageEntriesMax, 'x', testSession(2))]
  await assert.rejects(writeTestPoint(test.repository, 2, first.map, [{ ...disk, changes: outside }]), bug)
})

test('a wanted block moves to its new record although it is the same, and no other does', async () => {
  const test = makeTestRepository()
  const sizeBytes = 2 * pageEntriesMax * blockBytes
  const disk = (session: number, isWanted: (block: number) => boolean): TestDisk => ({
    sizeBytes,
    blockBytes,
    changes: [3, 4, pageEntriesMax].map((block) =>
      recordChange(block, `content ${String(block)}`, testSession(session)),
    ),
    isWanted,
  })
  const first = await writeTestPoint(test.repository, 1, null, [disk(1, () => false)])
  const second = await writeTestPoint(test.repository, 2, first.map, [disk(2, (block) => block === 4)])
  assert.deepEqual(second.written.contentRoots, first.written.contentRoots)
  const places = async (map: PointMap): Promise<(string | undefined)[]> => {
    const pages = await Array.fromAsync(map.pages(0, [0, 1]))
    return [pages[0]?.place(3), pages[0]?.place(4), pages[1]?.place(0)].map((place) => place?.pack.session)
  }
  const [one, two] = [testSession(1), testSession(2)]
  assert.deepEqual(await places(first.map), [one, one, one])
  assert.deepEqual(await places(second.map), [one, two, one])
  assert.deepEqual(
    (await storedPieces(test, 2)).map(({ level, number }) => [level, number]),
    [
      [0, 0],
      [1, 0],
      [2, 0],
    ],
  )
})
