import { hasCode, invariant, StrataError } from '@strata/shared/errors.ts'
import {
  chainObjectOf,
  chainPrefix,
  packKey,
  packName,
  packsPrefix,
  type PackReference,
  type SessionPlace,
} from '@strata/shared/format/names.ts'
import { packsNamedBy, trailerBytes } from '@strata/shared/format/pack.ts'
import type { Session } from '@strata/shared/format/session.ts'
import { diskCounts } from '@strata/shared/format/root.ts'
import type { WrappedDataKey } from '@strata/shared/format/wrapped-key.ts'
import { packTailBytesKeptMax, pageEntriesMax, storeRequestsInFlightMax } from '@strata/shared/limits.ts'
import { mapConcurrently } from '@strata/shared/repository/concurrency.ts'
import type { BlockChange, PageChanges } from '@strata/shared/repository/map-writer.ts'
import { openPackEnd, readPackEnd, type PackEnd } from '@strata/shared/repository/pack-end.ts'
import type { Repository } from '@strata/shared/repository/repository.ts'
import type { PointKeys } from './point-keys.ts'

/** One pack that was chosen for its segment. */
interface ChosenPack {
  readonly reference: PackReference
  readonly packBytes: number
  readonly disk: number
  readonly firstBlock: number
  readonly lastBlock: number
  /** Packs in which some of its records lie. */
  readonly named: readonly PackReference[]
  /** Its end, sealed as it is stored, where there is room for it: opened again when its turn comes. */
  readonly tail: Uint8Array | undefined
}

/** A whole attempt at a segment. */
interface Choice {
  readonly pack: ChosenPack
  readonly dataKeys: readonly WrappedDataKey[]
  /** Attempts that were not looked at yet. */
  readonly others: readonly Attempt[]
}

/** The packs of one session: one listing, one request a segment, whatever the number of attempts. */
export class SessionPacks {
  /** Of the packs that were chosen, and of those that are named. */
  readonly storedBytes: number
  /** Packs of other sessions in which records lie, by their key: copied whole, for a synthetic full. */
  readonly named: ReadonlyMap<string, PackReference>
  readonly #repository: Repository
  readonly #place: SessionPlace
  readonly #packs: readonly ChosenPack[]

  constructor(repository: Repository, place: SessionPlace, packs: readonly ChosenPack[], found: FoundPacks) {
    this.#repository = repository
    this.#place = place
    this.#packs = packs
    this.named = new Map(packs.flatMap(({ named }) => named.map((pack) => [packKey(pack), pack] as const)))
    const ownBytes = packs.reduce((sum, pack) => sum + pack.packBytes, 0)
    this.storedBytes = [...this.named.keys()].reduce((sum, key) => sum + (found.others.get(key) ?? 0), ownBytes)
  }

  /**
   * Picks a valid pack for each of `segments` segments, or says which are missing (E_SEGMENTS_MISSING). Their data keys
   * go to `keys`, in the order of the segments; more of them than a root has room for: E_LIMIT.
   */
  static async choose(
    repository: Repository,
    place: SessionPlace,
    session: Session,
    segments: number,
    keys: PointKeys,
    tailBytesKeptMax: number = packTailBytesKeptMax,
  ): Promise<SessionPacks> {
    const found = await findPacks(repository, place, session)
    const { packs, missing } = await pick({ repository, place, session, keys, tailBytesKeptMax }, found, segments)
    if (missing.length > 0) {
      const named = missing.slice(0, 20).join(', ')
      throw new StrataError(
        'E_SEGMENTS_MISSING',
        `${String(missing.length)} of ${String(segments)} segments have no valid pack: ${named}`,
        {
          details: { segments: missing.slice(0, 1000) },
        },
      )
    }
    return packs
  }

  /** The packs that there are, up to the highest segment of all, and which segments before it have none. */
  static async found(
    repository: Repository,
    place: SessionPlace,
    session: Session,
    keys: PointKeys,
  ): Promise<{ packs: SessionPacks; segments: number; missing: readonly number[] }> {
    const found = await findPacks(repository, place, session)
    const segments = [...found.attempts.keys()].reduce((last, number) => Math.max(last, number), -1) + 1
    const options = { repository, place, session, keys, tailBytesKeptMax: packTailBytesKeptMax }
    return { ...(await pick(options, found, segments)), segments }
  }

  /** The packs that were chosen, and those that they name. */
  get references(): readonly PackReference[] {
    return [...this.#packs.map(({ reference }) => reference), ...this.named.values()]
  }

  /**
   * What the session says of the blocks of one disk, page by page. Where several segments speak of a block, the one
   * with the highest number wins, never the one that came last.
   */
  async *changesOf(disk: number): AsyncGenerator<PageChanges> {
    const packs = this.#packs.filter((pack) => pack.disk === disk).sort((a, b) => a.firstBlock - b.firstBlock)
    // Ends that were not kept are fetched ahead, in the order in which their turn comes.
    const tails = mapConcurrently(packs, storeRequestsInFlightMax, (pack) => this.#tail(pack))
    try {
      yield* this.#changesByPage(packs, tails)
    } finally {
      await tails.return(undefined)
    }
  }

  async *#changesByPage(packs: readonly ChosenPack[], tails: AsyncGenerator<Uint8Array>): AsyncGenerator<PageChanges> {
    let opened = 0
    let open: Cursor[] = []
    for (;;) {
      const next = packs[opened]
      const page = Math.min(
        ...open.map((cursor) => pageOf(cursor.block)),
        next === undefined ? Infinity : pageOf(next.firstBlock),
      )
      if (page === Infinity) return
      for (let pack = next; pack !== undefined && pageOf(pack.firstBlock) <= page; pack = packs[opened]) {
        const tail = await tails.next()
        invariant(tail.done !== true, 'there is an end for each pack')
        open.push(new Cursor(pack.reference, this.#footer(pack, tail.value)))
        opened += 1
      }
      yield { page, changes: takeWinners(open, page) }
      open = open.filter((cursor) => !cursor.done)
    }
  }

  async #tail({ reference, packBytes, tail }: ChosenPack): Promise<Uint8Array> {
    return tail ?? (await readPackEnd(this.#repository, packName(this.#place, 'data', reference), packBytes))
  }

  #footer({ reference, packBytes }: ChosenPack, tail: Uint8Array): PackEnd {
    return openPackEnd(this.#repository, packName(this.#place, 'data', reference), packBytes, tail)
  }
}

/** Walks through one footer. */
class Cursor {
  readonly segment: number
  readonly #pack: PackReference
  readonly #footer: PackEnd
  #at = 0

  constructor(pack: PackReference, footer: PackEnd) {
    this.#pack = pack
    this.#footer = footer
    this.segment = pack.number
  }

  get done(): boolean {
    return this.#at >= this.#footer.footer.entries.length
  }

  get block(): number {
    return this.#footer.footer.entries[this.#at]?.block ?? Infinity
  }

  *takePage(page: number): Generator<BlockChange> {
    for (;;) {
      const entry = this.#footer.footer.entries[this.#at]
      if (entry === undefined || pageOf(entry.block) !== page) return
      this.#at += 1
      if (entry.state === 'record') {
        const piece = this.#footer.pieces[entry.piece]
        invariant(piece !== undefined, 'decode checked the pieces')
        const place = { pack: this.#pack, offset: piece.offset, length: piece.length }
        yield { state: 'record', block: entry.block, digest: entry.digest, place }
      } else if (entry.state === 'elsewhere') {
        yield { state: 'record', block: entry.block, digest: entry.digest, place: entry.place }
      } else {
        yield { state: entry.state, block: entry.block }
      }
    }
  }
}

/** What the footers that are open say of one page, by ascending block number. */
function takeWinners(open: readonly Cursor[], page: number): BlockChange[] {
  const winners = new Map<number, { segment: number; change: BlockChange }>()
  for (const cursor of open) {
    for (const change of cursor.takePage(page)) {
      const known = winners.get(change.block)
      if (known === undefined || known.segment < cursor.segment)
        winners.set(change.block, { segment: cursor.segment, change })
    }
  }
  return [...winners.values()].map(({ change }) => change).sort((a, b) => a.block - b.block)
}

function pageOf(block: number): number {
  return Math.floor(block / pageEntriesMax)
}

interface Attempt {
  readonly reference: PackReference
  readonly packBytes: number
}

interface FoundPacks {
  /** Of the session, by segment. */
  readonly attempts: ReadonlyMap<number, readonly Attempt[]>
  /** Bytes of the chain's other packs. Only a copy begins a chain with some. */
  readonly others: ReadonlyMap<string, number>
}

/** One listing. */
async function findPacks(
  { store }: Repository,
  place: SessionPlace,
  { copyOf }: Pick<Session, 'copyOf'>,
): Promise<FoundPacks> {
  const attempts = new Map<number, Attempt[]>()
  const others = new Map<string, number>()
  for await (const { name, sizeBytes } of store.list(
    copyOf === undefined ? packsPrefix(place, 'data') : chainPrefix(place),
  )) {
    const object = chainObjectOf(place, name)
    if (object?.kind !== 'data') continue
    const { reference } = object
    if (reference.session !== place.session) {
      others.set(packKey(reference), sizeBytes)
      continue
    }
    const known = attempts.get(reference.number)
    const attempt = { reference, packBytes: sizeBytes }
    if (known === undefined) attempts.set(reference.number, [attempt])
    else known.push(attempt)
  }
  return { attempts, others }
}

interface Picking {
  readonly repository: Repository
  readonly place: SessionPlace
  readonly session: Session
  readonly keys: PointKeys
  readonly tailBytesKeptMax: number
}

async function pick(
  { repository, place, session, keys, tailBytesKeptMax }: Picking,
  found: FoundPacks,
  segments: number,
): Promise<{ packs: SessionPacks; missing: readonly number[] }> {
  const numbers = Array.from({ length: segments }, (_, number) => number)
  const packs: ChosenPack[] = []
  const missing: number[] = []
  let tailBytesFree = tailBytesKeptMax
  const chooseFrom = (of: readonly Attempt[]): Promise<Choice | undefined> =>
    chooseAttempt(repository, place, session, of, found)
  const choices = mapConcurrently(numbers, storeRequestsInFlightMax, (number) =>
    chooseFrom(found.attempts.get(number) ?? []),
  )
  let number = 0
  for await (const first of choices) {
    const pack = await takeWithKeys(first, keys, chooseFrom)
    if (pack === undefined) missing.push(number)
    else {
      const tailBytes = pack.tail?.length ?? 0
      packs.push(tailBytes <= tailBytesFree ? pack : { ...pack, tail: undefined })
      tailBytesFree -= Math.min(tailBytes, tailBytesFree)
    }
    number += 1
  }
  return { packs: new SessionPacks(repository, place, packs, found), missing }
}

/** The pack of the choice, or of the next one, whose keys go with all that were taken before. */
async function takeWithKeys(
  first: Choice | undefined,
  keys: PointKeys,
  chooseFrom: (attempts: readonly Attempt[]) => Promise<Choice | undefined>,
): Promise<ChosenPack | undefined> {
  let choice = first
  while (choice !== undefined && !keys.add(choice.dataKeys)) {
    choice = await chooseFrom(choice.others)
  }
  return choice?.pack
}

/** The first attempt whose footer is whole and speaks of this session's disks, and of packs that there are. */
async function chooseAttempt(
  repository: Repository,
  place: SessionPlace,
  session: Session,
  attempts: readonly Attempt[],
  { others }: FoundPacks,
): Promise<Choice | undefined> {
  for (const [index, { reference, packBytes }] of attempts.entries()) {
    if (packBytes < trailerBytes) continue
    const name = packName(place, 'data', reference)
    let tail: Uint8Array
    let footer: PackEnd
    try {
      tail = await readPackEnd(repository, name, packBytes)
      footer = openPackEnd(repository, name, packBytes, tail)
    } catch (error) {
      // A pack that is damaged is as good as none: another attempt may be whole, else the segment counts as missing.
      if (
        hasCode(
          error,
          'E_FORMAT_DAMAGED',
          'E_FORMAT_KIND',
          'E_SEAL_BROKEN',
          'E_OBJECT_TRUNCATED',
          'E_OBJECT_MISSING',
          'E_OBJECT_ARCHIVED',
        )
      )
        continue
      throw error
    }
    const { disk: diskIndex, entries, segment, dataKeys } = footer.footer
    const disk = session.disks[diskIndex]
    const lastBlock = entries.at(-1)?.block ?? 0
    if (disk === undefined || segment !== reference.number) continue
    if (lastBlock >= diskCounts(disk.sizeBytes, disk.blockBytes).blocks) continue
    const named = [...packsNamedBy(footer.footer).values()]
    if (!named.every((pack) => others.has(packKey(pack)))) continue
    const firstBlock = entries[0]?.block ?? 0
    const pack = { reference, packBytes, disk: diskIndex, firstBlock, lastBlock, named, tail }
    return { pack, dataKeys, others: attempts.slice(index + 1) }
  }
  return undefined
}
