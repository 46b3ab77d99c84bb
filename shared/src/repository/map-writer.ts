import { invariant } from '../errors.ts'
import { boxKinds, sealBox } from '../format/box.ts'
import { equalBytes } from '../format/bytes.ts'
import { contentRoot, nodeDigest, pageDigest, zeroDigest } from '../format/digest.ts'
import { nodeContext, pageContext, rootContext, type ChainPlace, type PackReference } from '../format/names.ts'
import { encodePage, Page, pageLevels, type Place } from '../format/page.ts'
import { diskCounts, encodeRoot, entriesIn, type DiskCounts, type RootDisk } from '../format/root.ts'
import type { WrappedDataKey } from '../format/wrapped-key.ts'
import { pageEntriesMax } from '../limits.ts'
import type { SessionId } from '../types.ts'
import { readingBase } from './base-errors.ts'
import { PagePackWriter } from './page-pack-writer.ts'
import type { PointMap } from './point-map.ts'
import type { DigestKeys, Repository } from './repository.ts'

/** What a session says of one block. `base`: it is what the base has. */
export type BlockChange =
  | { readonly state: 'record'; readonly block: number; readonly digest: Uint8Array; readonly place: Place }
  | { readonly state: 'zero' | 'base'; readonly block: number }

/** Changes of one page, by ascending block number, each block once. */
export interface PageChanges {
  readonly page: number
  readonly changes: readonly BlockChange[]
}

export interface MapDisk {
  readonly sizeBytes: number
  readonly blockBytes: number
  /** Pages with changes, by ascending number. */
  readonly changes: AsyncIterable<PageChanges>
  /** Blocks whose records in the base are damaged: a new one takes their place, although it is of the same bytes. */
  readonly isWanted?: (block: number) => boolean
}

export interface WrittenMap {
  /** Where the root lies. */
  readonly root: Place
  readonly contentRoots: readonly Uint8Array[]
  /** Bytes of the page packs that were written. */
  readonly storedBytes: number
  readonly packs: readonly PackReference[]
}

/** Pages whose changes and base are held at the same time. */
const pagesPerWindow = 64

/**
 * Writes the map of a new point: the base's with a session's changes in it. Only pages that differ are written anew,
 * with the nodes above them and the root; all others are shared with the base. Memory is bounded by a window of pages
 * and one node. When nothing at all differs, the base's root serves again and nothing is written.
 */
export async function writeMap(options: {
  readonly repository: Repository
  readonly place: ChainPlace
  readonly session: SessionId
  readonly digestKeys: DigestKeys
  readonly base: PointMap | null
  readonly disks: readonly MapDisk[]
  /** Data keys of the session's records, without those that the base has. */
  readonly newKeys: readonly WrappedDataKey[]
}): Promise<WrittenMap> {
  const { repository, place, session, digestKeys, base } = options
  const packs = new PagePackWriter(repository, place, session)
  const disks: RootDisk[] = []
  let changed = base?.root.disks.length !== options.disks.length
  for (const [index, disk] of options.disks.entries()) {
    const writer = new DiskMapWriter(repository, place, digestKeys, packs, base, index, disk)
    const written = await writer.write()
    disks.push(written.disk)
    changed ||= written.changed
  }
  const contentRoots = disks.map((disk) => disk.contentRoot)
  if (!changed && base !== null) {
    const { session: rootSession, number, attempt, offset, length } = base.point.manifest.root
    const pack = { session: rootSession as SessionId, number, attempt }
    return { root: { pack, offset, length }, contentRoots, storedBytes: 0, packs: [] }
  }
  const keys = [...(base?.root.keys ?? []), ...options.newKeys]
  const context = rootContext({ ...place, session })
  const box = sealBox(boxKinds.root, context, encodeRoot({ disks, keys }), repository.indexKeys, repository.nonce())
  const root = await packs.add(box, { disk: 0, level: pageLevels.root, number: 0 })
  await packs.finish()
  return { root, contentRoots, storedBytes: packs.storedBytes, packs: packs.written }
}

class DiskMapWriter {
  readonly #repository: Repository
  readonly #place: ChainPlace
  readonly #keys: DigestKeys
  readonly #packs: PagePackWriter
  readonly #base: PointMap | null
  readonly #baseCounts: DiskCounts
  readonly #index: number
  readonly #disk: MapDisk
  readonly #counts: DiskCounts
  readonly #root: Page
  #node: Page | undefined
  /** Its places are others than the base's, whatever its digests are. */
  #nodeMoved = false
  #changed = false

  constructor(
    repository: Repository,
    place: ChainPlace,
    keys: DigestKeys,
    packs: PagePackWriter,
    base: PointMap | null,
    index: number,
    disk: MapDisk,
  ) {
    this.#repository = repository
    this.#place = place
    this.#keys = keys
    this.#packs = packs
    this.#base = base
    this.#index = index
    this.#disk = disk
    this.#counts = diskCounts(disk.sizeBytes, disk.blockBytes)
    this.#baseCounts = base === null ? { blocks: 0, pages: 0, nodes: 0 } : base.counts(index)
    invariant(this.#baseCounts.blocks <= this.#counts.blocks, 'a disk that shrank starts a new chain')
    invariant(base === null || base.disk(index).blockBytes === disk.blockBytes, 'one block size in a chain')
    this.#root = new Page(pageLevels.root, index, this.#counts.nodes)
  }

  async write(): Promise<{ disk: RootDisk; changed: boolean }> {
    this.#startFromBase()
    let window: PageChanges[] = []
    for await (const changes of this.#changesAndGrownPage()) {
      invariant(changes.page < this.#counts.pages, 'changes lie on the disk')
      const first = window[0]
      const otherNode = first !== undefined && nodeOf(first.page) !== nodeOf(changes.page)
      if (window.length === pagesPerWindow || otherNode) {
        await this.#applyWindow(window)
        window = []
      }
      window.push(changes)
    }
    await this.#applyWindow(window)
    await this.#closeNode()
    const { sizeBytes, blockBytes } = this.#disk
    const root = contentRoot(this.#keys.tree, { sizeBytes, blockBytes }, this.#root.digests)
    this.#changed ||= this.#base === null || this.#base.disk(this.#index).sizeBytes !== sizeBytes
    return { disk: { sizeBytes, blockBytes, contentRoot: root, nodes: this.#root }, changed: this.#changed }
  }

  /**
   * When the disk grew, the base's last page and node have too few entries, so they are written anew even without a
   * change.
   */
  async *#changesAndGrownPage(): AsyncGenerator<PageChanges> {
    const grew = this.#base !== null && this.#baseCounts.blocks !== this.#counts.blocks
    let grown = grew ? this.#baseCounts.pages - 1 : undefined
    for await (const changes of this.#disk.changes) {
      if (grown !== undefined && changes.page > grown) yield { page: grown, changes: [] }
      if (grown !== undefined && changes.page >= grown) grown = undefined
      yield changes
    }
    if (grown !== undefined) yield { page: grown, changes: [] }
  }

  #startFromBase(): void {
    if (this.#base === null) return
    const { nodes } = this.#base.disk(this.#index)
    for (let entry = 0; entry < nodes.entryCount; entry += 1) {
      const place = nodes.place(entry)
      if (place !== undefined) this.#root.setStored(entry, nodes.digest(entry), place)
    }
  }

  async #applyWindow(window: readonly PageChanges[]): Promise<void> {
    const [first] = window
    if (first === undefined) return
    await this.#openNode(nodeOf(first.page))
    const basePages = this.#basePages(window.map(({ page }) => page))
    for (const { page: number, changes } of window) {
      const base = await basePages.next(number)
      const page = base.resized(entriesIn(number, this.#counts.blocks))
      let moved = false
      for (const change of changes) moved = applyChange(page, change, this.#disk.isWanted) || moved
      await this.#storePage(page, base, moved)
    }
  }

  /** The base's pages of the given numbers; where the base has none, empty ones. */
  #basePages(numbers: readonly number[]): { next(number: number): Promise<Page> } {
    const inBase = numbers.filter((number) => number < this.#baseCounts.pages)
    const pages = this.#base?.pages(this.#index, inBase)
    return {
      next: async (number) => {
        if (pages === undefined || number >= this.#baseCounts.pages) return new Page(pageLevels.page, number, 0)
        const next = await readingBase(pages.next())
        invariant(next.done !== true && next.value.number === number, 'the base has this page')
        return next.value
      },
    }
  }

  async #storePage(page: Page, base: Page, moved: boolean): Promise<void> {
    const sameCount = page.entryCount === base.entryCount
    if (!moved && sameCount && equalBytes(page.digests, base.digests)) return
    const node = this.#node
    invariant(node !== undefined, 'a node is open')
    this.#changed = true
    this.#nodeMoved ||= moved
    const entry = page.number % pageEntriesMax
    const digest = pageDigest(this.#keys.tree, page.digests)
    if (equalBytes(digest, zeroDigest)) {
      node.setZero(entry)
      return
    }
    const context = pageContext(this.#place, this.#index, page.number)
    const box = this.#seal(boxKinds.page, context, page)
    const place = await this.#packs.add(box, { disk: this.#index, level: page.level, number: page.number })
    node.setStored(entry, digest, place)
  }

  async #openNode(number: number): Promise<void> {
    if (this.#node?.number === number) return
    await this.#closeNode()
    const entryCount = entriesIn(number, this.#counts.pages)
    const base = await this.#baseNode(number)
    this.#node = base?.resized(entryCount) ?? new Page(pageLevels.node, number, entryCount)
  }

  async #baseNode(number: number): Promise<Page | undefined> {
    if (this.#base === null || number >= this.#baseCounts.nodes) return undefined
    return await readingBase(this.#base.node(this.#index, number))
  }

  async #closeNode(): Promise<void> {
    const node = this.#node
    const moved = this.#nodeMoved
    this.#node = undefined
    this.#nodeMoved = false
    if (node === undefined) return
    const digest = nodeDigest(this.#keys.tree, node.digests)
    if (!moved && equalBytes(digest, this.#root.digest(node.number))) return
    if (equalBytes(digest, zeroDigest)) {
      this.#root.setZero(node.number)
      return
    }
    const box = this.#seal(boxKinds.node, nodeContext(this.#place, this.#index, node.number), node)
    const place = await this.#packs.add(box, { disk: this.#index, level: node.level, number: node.number })
    this.#root.setStored(node.number, digest, place)
  }

  #seal(kind: typeof boxKinds.page | typeof boxKinds.node, context: string, page: Page): Uint8Array {
    return sealBox(kind, context, encodePage(page), this.#repository.indexKeys, this.#repository.nonce())
  }
}

function nodeOf(page: number): number {
  return Math.floor(page / pageEntriesMax)
}

/** A block that came out as the base has it keeps the base's record, unless that is wanted: then it moves. */
function applyChange(page: Page, change: BlockChange, isWanted: MapDisk['isWanted']): boolean {
  const entry = change.block % pageEntriesMax
  if (change.state === 'zero') page.setZero(entry)
  if (change.state !== 'record') return false
  const isSame = equalBytes(page.digest(entry), change.digest)
  if (isSame && isWanted?.(change.block) !== true) return false
  page.setStored(entry, change.digest, change.place)
  return isSame
}
