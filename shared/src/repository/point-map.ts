import { invariant, StrataError } from '../errors.ts'
import { boxKinds, openBox } from '../format/box.ts'
import { equalBytes, damaged } from '../format/bytes.ts'
import { contentRoot, nodeDigest, pageDigest } from '../format/digest.ts'
import { nodeContext, packName, pageContext, rootContext, type ChainPlace } from '../format/names.ts'
import { decodePage, Page, pageLevels, type Place } from '../format/page.ts'
import { decodeRoot, diskCounts, entriesIn, type DiskCounts, type Root, type RootDisk } from '../format/root.ts'
import { pageEntriesMax, readBytesMax, readGapBytesMax, readsInFlightMax } from '../limits.ts'
import { asId, type SessionId } from '../types.ts'
import { mapConcurrently } from './concurrency.ts'
import { chainPlaceOf, type Point } from './points.ts'
import { planReads } from './range-plan.ts'
import type { DigestKeys, Repository } from './repository.ts'

/** Pages that are fetched ahead together; some 11 MiB of map. */
const pagesAheadMax = 256

/**
 * The complete map of one point. Opening it costs one request for the root; nodes and pages are read when they are
 * needed, and each is checked against the digest that its parent has for it.
 */
export class PointMap {
  readonly point: Point
  readonly place: ChainPlace
  readonly root: Root
  readonly #repository: Repository
  readonly #digestKeys: DigestKeys
  readonly #nodes = new Map<string, Promise<Page>>()

  private constructor(repository: Repository, point: Point, root: Root) {
    this.#repository = repository
    this.point = point
    this.place = chainPlaceOf(repository, point)
    this.root = root
    this.#digestKeys = repository.digestKeysOf(point.set)
  }

  static async open(repository: Repository, point: Point): Promise<PointMap> {
    const place = chainPlaceOf(repository, point)
    const { session, number, attempt, offset, length } = point.manifest.root
    const reference = { session: asId<SessionId>(session), number, attempt }
    const name = packName(place, 'map', reference)
    const box = await repository.store.get(name, { offset, length })
    const context = rootContext({ ...place, session: reference.session })
    const root = decodeRoot(openBox(boxKinds.root, context, box, repository.indexKeys))
    const map = new PointMap(repository, point, root)
    map.#checkAgainstManifest(name)
    return map
  }

  disk(index: number): RootDisk {
    const disk = this.root.disks[index]
    invariant(disk !== undefined, `disk ${String(index)} of a point with ${String(this.root.disks.length)}`)
    return disk
  }

  counts(index: number): DiskCounts {
    const { sizeBytes, blockBytes } = this.disk(index)
    return diskCounts(sizeBytes, blockBytes)
  }

  /** A node: for each page its digest and where it lies. Kept, since a disk has at most 64. */
  node(disk: number, number: number): Promise<Page> {
    const key = `${String(disk)}/${String(number)}`
    let node = this.#nodes.get(key)
    if (node === undefined) {
      node = this.#readNode(disk, number)
      node.catch(() => this.#nodes.delete(key))
      this.#nodes.set(key, node)
    }
    return node
  }

  /** The pages of the given ascending numbers, in order; missing neighbours cost few requests. */
  async *pages(disk: number, numbers: Iterable<number>): AsyncGenerator<Page> {
    let window: number[] = []
    for (const number of numbers) {
      window.push(number)
      if (window.length === pagesAheadMax) {
        yield* this.#readPages(disk, window)
        window = []
      }
    }
    yield* this.#readPages(disk, window)
  }

  async *#readPages(disk: number, numbers: readonly number[]): AsyncGenerator<Page> {
    const { pages: pageTotal, blocks } = this.counts(disk)
    const found = new Map<number, Page>()
    const wanted: { object: string; offset: number; length: number; number: number; digest: Uint8Array }[] = []
    for (const number of numbers) {
      invariant(number < pageTotal, `page ${String(number)} of ${String(pageTotal)}`)
      const node = await this.node(disk, Math.floor(number / pageEntriesMax))
      const entry = number % pageEntriesMax
      const place = node.place(entry)
      if (place === undefined) found.set(number, new Page(pageLevels.page, number, entriesIn(number, blocks)))
      else wanted.push({ ...this.#range(place), number, digest: node.digest(entry) })
    }
    const limits = { readBytesMax, gapBytesMax: readGapBytesMax }
    const reads = mapConcurrently(planReads(wanted, limits), readsInFlightMax, async (read) => ({
      read,
      bytes: await this.#repository.store.get(read.object, read),
    }))
    for await (const { read, bytes } of reads) {
      for (const { number, offset, length, digest } of read.wanted) {
        const box = bytes.subarray(offset - read.offset, offset - read.offset + length)
        found.set(number, this.#openPage(disk, number, box, digest))
      }
    }
    for (const number of numbers) {
      const page = found.get(number)
      invariant(page !== undefined, 'every wanted page was read')
      yield page
    }
  }

  #openPage(disk: number, number: number, box: Uint8Array, digest: Uint8Array): Page {
    const context = pageContext(this.place, disk, number)
    const page = decodePage(openBox(boxKinds.page, context, box, this.#repository.indexKeys), pageLevels.page, number)
    if (page.entryCount !== entriesIn(number, this.counts(disk).blocks))
      throw damaged(context, 'has another number of blocks')
    if (!equalBytes(pageDigest(this.#digestKeys.tree, page.digests), digest)) throw replaced(context)
    return page
  }

  async #readNode(disk: number, number: number): Promise<Page> {
    const { nodes } = this.disk(disk)
    const entryCount = entriesIn(number, this.counts(disk).pages)
    const place = nodes.place(number)
    if (place === undefined) return new Page(pageLevels.node, number, entryCount)
    const range = this.#range(place)
    const box = await this.#repository.store.get(range.object, range)
    const context = nodeContext(this.place, disk, number)
    const node = decodePage(openBox(boxKinds.node, context, box, this.#repository.indexKeys), pageLevels.node, number)
    if (node.entryCount !== entryCount) throw damaged(context, 'has another number of pages')
    if (!equalBytes(nodeDigest(this.#digestKeys.tree, node.digests), nodes.digest(number))) throw replaced(context)
    return node
  }

  #range(place: Place): { object: string; offset: number; length: number } {
    return { object: packName(this.place, 'map', place.pack), offset: place.offset, length: place.length }
  }

  #checkAgainstManifest(name: string): void {
    const { disks } = this.point.manifest
    const { tree } = this.#digestKeys
    const fits =
      disks.length === this.root.disks.length &&
      this.root.disks.every((disk, index) => {
        const described = disks[index]
        return (
          described?.sizeBytes === disk.sizeBytes &&
          described.blockBytes === disk.blockBytes &&
          Buffer.from(disk.contentRoot).toString('hex') === described.contentRoot &&
          equalBytes(contentRoot(tree, disk, disk.nodes.digests), disk.contentRoot)
        )
      })
    if (!fits) throw replaced(`the root in ${name}`)
  }
}

function replaced(what: string): StrataError {
  return new StrataError('E_DIGEST_MISMATCH', `${what} is not the one that this point was made with`)
}
