import { samePack } from '@strata/shared/format/names.ts'
import type { Page } from '@strata/shared/format/page.ts'
import { pageEntriesMax } from '@strata/shared/limits.ts'
import { PointMap } from '@strata/shared/repository/point-map.ts'
import type { Point } from '@strata/shared/repository/points.ts'
import type { Repository } from '@strata/shared/repository/repository.ts'

/**
 * How many bytes of records points of one chain need, what they share counted once. Each map is compared with the one
 * before: pages at the same place are not read again. A record that comes back after others is counted twice, which a
 * chain hardly ever has.
 * @param points of one chain, by ascending number
 */
export async function liveRecordBytes(repository: Repository, points: readonly Point[]): Promise<number> {
  let bytes = 0
  let before: PointMap | undefined
  for (const point of points) {
    const map = await PointMap.open(repository, point)
    for (const disk of map.root.disks.keys()) bytes += await newBytes(map, before, disk)
    before = map
  }
  return bytes
}

async function newBytes(map: PointMap, before: PointMap | undefined, disk: number): Promise<number> {
  const { nodes } = map.disk(disk)
  const nodesBefore = before?.root.disks[disk]?.nodes
  let bytes = 0
  for (let number = 0; number < nodes.entryCount; number += 1) {
    if (nodes.isZero(number) || isShared(nodes, nodesBefore, number)) continue
    const node = await map.node(disk, number)
    const hasBefore = nodesBefore?.place(number) !== undefined
    const nodeBefore = hasBefore ? await before?.node(disk, number) : undefined
    const changed = entriesOf(node).filter((entry) => !node.isZero(entry) && !isShared(node, nodeBefore, entry))
    const known = changed.filter((entry) => nodeBefore?.place(entry) !== undefined)
    const pagesBefore = before?.pages(disk, numbersOf(number, known))
    for await (const page of map.pages(disk, numbersOf(number, changed))) {
      const isKnown = nodeBefore?.place(page.number % pageEntriesMax) !== undefined
      const next = isKnown ? await pagesBefore?.next() : undefined
      const pageBefore = next?.done === true ? undefined : next?.value
      for (const entry of entriesOf(page)) {
        if (!isShared(page, pageBefore, entry)) bytes += page.place(entry)?.length ?? 0
      }
    }
  }
  return bytes
}

function entriesOf({ entryCount }: Page): number[] {
  return Array.from({ length: entryCount }, (_, entry) => entry)
}

function numbersOf(node: number, entries: readonly number[]): number[] {
  return entries.map((entry) => node * pageEntriesMax + entry)
}

function isShared(page: Page, before: Page | undefined, entry: number): boolean {
  const a = page.place(entry)
  const b = before?.place(entry)
  return a !== undefined && a.offset === b?.offset && a.length === b.length && samePack(a.pack, b.pack)
}
