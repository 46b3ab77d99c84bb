import { createHash } from 'node:crypto'
import { appendFileSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import * as v from 'valibot'
import { invariant, StrataError } from '@strata/shared/errors.ts'
import { digestHexSchema, documentHead, idSchema, parseDocument } from '@strata/shared/format/document.ts'
import { diskSchema, kindSchema, type DiskDescription } from '@strata/shared/format/manifest.ts'
import { list, wholeNumber, type Fitting } from '@strata/shared/format/schema.ts'
import type { SegmentEntry } from '@strata/shared/format/segment.ts'
import { disksPerSetMax, pointsPerSetMax } from '@strata/shared/limits.ts'
import type { OpenedSession } from '@strata/shared/protocol/uplink.ts'
import { lockFile, type FileLock } from '@strata/shared/system/file-lock.ts'
import { stateUnwritable } from '../state-directory.ts'
import { KnownDigests } from './known-digests.ts'
import { SentBlocks } from './sent-blocks.ts'

/**
 * `<state>/runs/<set's name, hashed>/`: what this machine has to remember of a session that is under way, so that a run that
 * was cut off can be gone on with.
 *
 *   session.json      which session, on which base, of which disks
 *   segments          a line a segment: `s N` before it goes out, `a N` once it was acknowledged
 *   <disk>.sent       the blocks that were sent (SentBlocks)
 *   <disk>.view       what marks the view that the disk was read under, and
 *   <disk>.known      the digests that were read under it (KnownDigests)
 *
 * Segment numbers have no gaps: one that went out and was not acknowledged may be there or not. The next run sends an
 * empty segment of that number, and its blocks anew in later ones, which win. So whichever of the two the service takes,
 * the map is the same.
 */
const sessionSchema = v.object({
  ...documentHead('agent-session', 1),
  set: idSchema,
  session: idSchema,
  sequenceAtOpen: wholeNumber(0, pointsPerSetMax),
  kind: kindSchema,
  baseDigest: v.nullable(digestHexSchema),
  disks: list(diskSchema, { min: 1, max: disksPerSetMax }),
})
export type JournalHead = Fitting<typeof sessionSchema>
const sessionType = { title: 'agent-session', version: 1, schema: sessionSchema }

export class SessionJournal {
  readonly #directory: string
  readonly #head: JournalHead
  readonly #disks = new Map<number, SentBlocks>()
  readonly #unacknowledged: readonly number[]
  #nextSegment: number

  /**
   * Keeps other runs of the set on this machine away until it is released: they would go on with the same session.
   * E_RUN_UNDER_WAY.
   */
  static lock(stateDirectory: string, setName: string): FileLock {
    const directory = directoryOf(stateDirectory, setName)
    let lock: FileLock | undefined
    try {
      mkdirSync(dirname(directory), { recursive: true, mode: 0o700 })
      lock = lockFile(`${directory}.lock`)
    } catch (error) {
      throw stateUnwritable(directory, error)
    }
    if (lock === undefined) throw new StrataError('E_RUN_UNDER_WAY', `a backup of set '${setName}' is under way`)
    return lock
  }

  /** The journal of the session that a run before has begun here, if there is one that can be read. */
  static open(stateDirectory: string, setName: string): SessionJournal | null {
    const directory = directoryOf(stateDirectory, setName)
    const path = join(directory, headFile)
    if (!existsSync(path)) return null
    const head = readHead(path)
    if (head === null) return null
    const journal = new SessionJournal(directory, head, readSegments(join(directory, segmentsFile)))
    // A line that was cut off must not be made whole by the next one.
    journal.#note('?')
    return journal
  }

  /** Begins the journal of a session that was just opened; what was there is of no use any more. */
  static begin(stateDirectory: string, session: OpenedSession): SessionJournal {
    const directory = directoryOf(stateDirectory, session.setName)
    const head: JournalHead = {
      strata: 'agent-session',
      version: 1,
      set: session.set,
      session: session.session,
      sequenceAtOpen: session.sequenceAtOpen,
      kind: session.kind,
      baseDigest: session.base?.manifestDigest ?? null,
      disks: [...session.disks],
    }
    try {
      rmSync(directory, { recursive: true, force: true })
      mkdirSync(directory, { recursive: true, mode: 0o700 })
      // Last: a journal without it is none.
      writeFileSync(join(directory, headFile), JSON.stringify(head), { mode: 0o600 })
    } catch (error) {
      throw stateUnwritable(directory, error)
    }
    return new SessionJournal(directory, head, { next: 0, unacknowledged: [] })
  }

  private constructor(directory: string, head: JournalHead, segments: Segments) {
    this.#directory = directory
    this.#head = head
    this.#nextSegment = segments.next
    this.#unacknowledged = segments.unacknowledged
  }

  get head(): JournalHead {
    return this.#head
  }

  /** Numbers that went out in the run before, and nobody knows what became of them. */
  get unacknowledged(): readonly number[] {
    return this.#unacknowledged
  }

  /** The number of the next new segment. */
  get nextSegment(): number {
    return this.#nextSegment
  }

  /** Whether these disks are those of the session. */
  isOf(disks: readonly { readonly name: string; readonly sizeBytes: number }[]): boolean {
    const before = this.#head.disks
    return (
      disks.length === before.length &&
      disks.every(({ name, sizeBytes }, index) => before[index]?.name === name && before[index].sizeBytes === sizeBytes)
    )
  }

  sentBlocks(disk: number): SentBlocks {
    const known = this.#disks.get(disk)
    if (known !== undefined) return known
    const description = this.#description(disk)
    const sent = new SentBlocks(join(this.#directory, `${description.name}.sent`), description)
    this.#disks.set(disk, sent)
    return sent
  }

  /**
   * The digests of a disk that were read under this view of it, to be gone on with; a view without a mark is like no
   * other.
   */
  knownDigests(disk: number, viewMark: string | null): KnownDigests {
    const description = this.#description(disk)
    const path = join(this.#directory, `${description.name}.view`)
    const isSameView = viewMark !== null && readMark(path) === viewMark
    const known = new KnownDigests(join(this.#directory, `${description.name}.known`), description, isSameView)
    try {
      // After what was read under another view is gone.
      if (!isSameView) writeFileSync(path, viewMark ?? '', { mode: 0o600 })
    } catch (error) {
      known.close()
      throw stateUnwritable(path, error)
    }
    return known
  }

  sending(segment: number, disk: number, entries: readonly SegmentEntry[]): void {
    this.sentBlocks(disk).sending(entries)
    this.#note(`s ${String(segment)}`)
    this.#nextSegment = Math.max(this.#nextSegment, segment + 1)
  }

  acknowledged(segment: number, disk: number, entries: readonly SegmentEntry[]): void {
    // First: blocks that count as acknowledged are not sent again, so nothing empty may take their segment's place.
    this.#note(`a ${String(segment)}`)
    this.sentBlocks(disk).acknowledged(entries)
  }

  /** The session is over: a point, or given up. */
  remove(): void {
    this.close()
    rmSync(this.#directory, { recursive: true, force: true })
  }

  close(): void {
    for (const sent of this.#disks.values()) sent.close()
    this.#disks.clear()
  }

  #description(disk: number): DiskDescription {
    const description = this.#head.disks[disk]
    invariant(description !== undefined, 'a disk of the session')
    return description
  }

  #note(line: string): void {
    try {
      appendFileSync(join(this.#directory, segmentsFile), `${line}\n`, { mode: 0o600 })
    } catch (error) {
      throw stateUnwritable(this.#directory, error)
    }
  }
}

const headFile = 'session.json'
const segmentsFile = 'segments'

/** The set's id is known only to who has opened a session of it. */
function directoryOf(stateDirectory: string, setName: string): string {
  const hash = createHash('sha256').update(setName.normalize('NFC'), 'utf8').digest('hex')
  return join(stateDirectory, 'runs', hash.slice(0, nameDigits))
}

const nameDigits = 32

/** The mark of the view that was read; null: there is none. */
function readMark(path: string): string | null {
  return existsSync(path) ? readFileSync(path, 'utf8') : null
}

function readHead(path: string): JournalHead | null {
  try {
    return parseDocument(sessionType, path, readFileSync(path))
  } catch {
    // Cut off while it was written, damaged, or of a newer agent: the session is given up to the sweeper.
    return null
  }
}

interface Segments {
  readonly next: number
  readonly unacknowledged: readonly number[]
}

/** What has not the form of a line was cut off while it was written: what it would have said did not begin. */
function readSegments(path: string): Segments {
  const lines = existsSync(path) ? readFileSync(path, 'latin1').split('\n').slice(0, -1) : []
  const sent = new Set<number>()
  let next = 0
  for (const line of lines) {
    const [, what, digits] = /^([sa]) ([0-9]{1,7})$/.exec(line) ?? []
    if (digits === undefined) continue
    const segment = Number(digits)
    next = Math.max(next, segment + 1)
    if (what === 's') sent.add(segment)
    else sent.delete(segment)
  }
  return { next, unacknowledged: [...sent].sort((a, b) => a - b) }
}
