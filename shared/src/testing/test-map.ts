import { createHash } from 'node:crypto'
import type { Manifest } from '../format/manifest.ts'
import type { ChainPlace, PackReference } from '../format/names.ts'
import type { WrappedDataKey } from '../format/wrapped-key.ts'
import { pageEntriesMax } from '../limits.ts'
import { writeMap, type BlockChange, type PageChanges, type WrittenMap } from '../repository/map-writer.ts'
import { PointMap } from '../repository/point-map.ts'
import type { Point } from '../repository/points.ts'
import type { Repository } from '../repository/repository.ts'
import { asId, type ChainId, type SessionId } from '../types.ts'

/** Maps without sessions and packs behind them: what map writer and reader need, and no more. */
export interface TestDisk {
  readonly sizeBytes: number
  readonly blockBytes: number
  readonly changes: readonly BlockChange[]
  readonly isWanted?: (block: number) => boolean
}

export interface TestPoint {
  readonly written: WrittenMap
  readonly point: Point
  readonly map: PointMap
}

export const testSetName = 'machine'

export function testChain(repository: Repository): ChainPlace {
  return { ...repository.placeOf(repository.setIdOf(testSetName)), chain: asId<ChainId>('c'.repeat(32)) }
}

export function testSession(number: number): SessionId {
  return asId<SessionId>(String(number).padStart(32, '0'))
}

/** A digest that is the same for the same content, and not zero. */
export function testDigest(content: string): Uint8Array {
  return new Uint8Array(createHash('sha256').update(content).digest())
}

/** A change of one block, whose record lies in a pack of its session. */
export function recordChange(block: number, content: string, session: SessionId, offset = block * 100): BlockChange {
  const pack: PackReference = { session, number: Math.floor(block / 100), attempt: '00000000000000aa' }
  return { state: 'record', block, digest: testDigest(content), place: { pack, offset, length: 100 } }
}

/** Writes the map of point `number` and opens it. The manifest is made up around it and not stored. */
export async function writeTestPoint(
  repository: Repository,
  number: number,
  base: PointMap | null,
  disks: readonly TestDisk[],
  newKeys: readonly WrappedDataKey[] = [],
): Promise<TestPoint> {
  const place = testChain(repository)
  const written = await writeMap({
    repository,
    place,
    session: testSession(number),
    digestKeys: repository.digestKeysOf(place.set),
    base,
    disks: disks.map((disk) => ({ ...disk, changes: byPage(disk.changes) })),
    newKeys,
  })
  const point = pointOf(repository, number, base, disks, written)
  return { written, point, map: await PointMap.open(repository, point) }
}

function pointOf(
  repository: Repository,
  number: number,
  base: PointMap | null,
  disks: readonly TestDisk[],
  { root, contentRoots }: WrittenMap,
): Point {
  const manifest: Manifest = {
    strata: 'manifest',
    version: 1,
    point: testSession(number),
    setName: testSetName,
    chain: testChain(repository).chain,
    sequence: number,
    kind: base === null ? 'full' : 'incremental',
    base: null,
    full: null,
    previous: null,
    createdAt: '2026-01-01T00:00:00.000Z',
    capturedAt: '2026-01-01T00:00:00.000Z',
    consistency: 'unchanged',
    machine: { hostName: '', system: '', architecture: '' },
    disks: disks.map(({ sizeBytes, blockBytes }, index) => ({
      name: `disk${String(index)}`,
      sizeBytes,
      blockBytes,
      identity: {},
      contentRoot: Buffer.from(contentRoots[index] ?? []).toString('hex'),
    })),
    root: { ...root.pack, offset: root.offset, length: root.length },
    statistics: { scannedBytes: 0, changedBytes: 0, storedBytes: 0, segments: 0 },
    warnings: [],
  }
  return { set: testChain(repository).set, sequence: number, manifest, digest: '0'.repeat(64) }
}

/** Groups changes as a session gives them: by page, both in ascending order. */
async function* byPage(changes: readonly BlockChange[]): AsyncGenerator<PageChanges> {
  const pages = new Map<number, BlockChange[]>()
  for (const change of [...changes].sort((a, b) => a.block - b.block)) {
    const page = Math.floor(change.block / pageEntriesMax)
    const known = pages.get(page)
    if (known === undefined) pages.set(page, [change])
    else known.push(change)
  }
  for (const [page, pageChanges] of pages) yield await Promise.resolve({ page, changes: pageChanges })
}
