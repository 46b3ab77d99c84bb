import { existsSync, readdirSync, rmSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { hasCode, systemErrorCode } from '@strata/shared/errors.ts'
import { equalBytes } from '@strata/shared/format/bytes.ts'
import type { DiskDescription, Warning } from '@strata/shared/format/manifest.ts'
import { disksPerSetMax, temporaryFileLifeMs } from '@strata/shared/limits.ts'
import type { OpenedSession, RememberedPoint } from '@strata/shared/protocol/uplink.ts'
import type { SetId } from '@strata/shared/types.ts'
import { makeStateDirectory, stateUnwritable } from '../state-directory.ts'
import { diskMark, type DigestFileHeader } from './digest-file.ts'
import { DigestFile, readDigestFileHeader, type DigestPages } from './digest-file-reader.ts'
import { MapReference, noReference, type DigestReference } from './digest-reference.ts'

/** `<state>/sets/<set>`: what the agent remembers of a set. */
export class SetState {
  readonly #directory: string

  /** Makes the directory and removes what dead runs left there. Error: E_STATE_UNWRITABLE. */
  constructor(stateDirectory: string, set: SetId, nowMs: number) {
    this.#directory = join(stateDirectory, 'sets', set)
    makeStateDirectory(this.#directory)
    try {
      this.#removeLeftOvers(nowMs)
    } catch (error) {
      throw stateUnwritable(this.#directory, error)
    }
  }

  digestFile(disk: string): string {
    return join(this.#directory, `${disk}${digestsSuffix}`)
  }

  /** A name of this session's own: two sessions of one set may run at once. */
  newDigestFile(disk: string, session: string, pass: number): string {
    return `${this.digestFile(disk)}.${session}-${String(pass)}${newSuffix}`
  }

  /**
   * The points that digest files here are of, the newest first. All disks' files tell, also of disks that the set has no
   * more. One that is damaged tells nothing; whoever needs its digests says so.
   */
  remembered(): RememberedPoint[] {
    const points = new Map<string, RememberedPoint>()
    for (const name of readdirSync(this.#directory)) {
      const header = name.endsWith(digestsSuffix) ? headerIfWhole(join(this.#directory, name)) : null
      if (header === null) continue
      const { sequence, manifestDigest } = header
      points.set(manifestDigest, { sequence, manifestDigest })
    }
    return [...points.values()].sort((a, b) => b.sequence - a.sequence).slice(0, disksPerSetMax)
  }

  /** Removes the digest files of all disks: the next session asks the map. */
  forgetDigests(): void {
    try {
      for (const name of readdirSync(this.#directory)) {
        if (name.endsWith(digestsSuffix)) rmSync(join(this.#directory, name), { force: true })
      }
    } catch (error) {
      throw stateUnwritable(this.#directory, error)
    }
  }

  /**
   * Only the old ones: another session may be running, and a file that nobody has written to for a day is not worth
   * asking whose it is. Should a session be that slow, it loses its digest file and nothing else.
   */
  #removeLeftOvers(nowMs: number): void {
    for (const name of readdirSync(this.#directory)) {
      if (!name.endsWith(newSuffix)) continue
      const path = join(this.#directory, name)
      const stats = statSync(path, { throwIfNoEntry: false })
      if (stats !== undefined && nowMs - stats.mtimeMs > temporaryFileLifeMs) rmSync(path, { force: true })
    }
  }
}

const digestsSuffix = '.digests'
const newSuffix = '.new'

function headerIfWhole(path: string): DigestFileHeader | null {
  try {
    return readDigestFileHeader(path)
  } catch (error) {
    if (!isDamage(error)) throw error
    return null
  }
}

export type DigestsFrom = 'nowhere' | 'file' | 'map'

/** What a disk is compared with in the first pass. */
export interface BaseDigests {
  readonly reference: DigestReference
  /** Where the digests come from at the start; damage found later turns `file` into `map`. */
  readonly from: DigestsFrom
  close(): void
}

/**
 * The local digest file, if it is of exactly the session's base (or of what that is a copy of) and this disk; else the
 * map's digests. `lost` hears of
 * a file that is damaged.
 */
export function openBaseDigests(
  session: OpenedSession,
  disk: { readonly index: number; readonly description: DiskDescription },
  path: string,
  lost: (warning: Warning) => void,
): BaseDigests {
  if (session.base === null) return { reference: noReference, from: 'nowhere', close: () => undefined }
  const map = new MapReference(session, disk.index)
  const say = (error: unknown): void => {
    lost(digestsLost(disk.description.name, error))
  }
  const file = openMatching(session, disk.description, path, say)
  if (file === null) return { reference: map, from: 'map', close: () => undefined }
  return {
    reference: new CheckedReference(file.pages, map, say),
    from: 'file',
    close: () => {
      file.close()
    },
  }
}

function openMatching(
  session: OpenedSession,
  disk: DiskDescription,
  path: string,
  say: (error: unknown) => void,
): DigestFile | null {
  if (!existsSync(path)) return null
  let file: DigestFile
  try {
    file = new DigestFile(path)
  } catch (error) {
    if (!isDamage(error)) throw error
    say(error)
    return null
  }
  const { header } = file
  const isOfBase =
    (header.manifestDigest === session.base?.manifestDigest && header.chain === session.chain) ||
    header.manifestDigest === session.baseCopyOf
  const matches =
    isOfBase &&
    header.blockBytes === disk.blockBytes &&
    header.sizeBytes <= disk.sizeBytes &&
    equalBytes(header.diskMark, diskMark(disk.name, disk.identity))
  if (matches) return file
  file.close()
  return null
}

function isDamage(error: unknown): boolean {
  return hasCode(error, 'E_FORMAT_DAMAGED', 'E_FORMAT_KIND', 'E_FORMAT_NEWER') || systemErrorCode(error) !== undefined
}

function digestsLost(disk: string, error: unknown): Warning {
  const reason = error instanceof Error ? error.message : String(error)
  return {
    code: 'W_DIGESTS_LOST',
    message: `the local digests of disk ${disk} cannot be used (${reason}); they were read from the map instead`,
  }
}

/** Pages of the local file; from the first one that is damaged on, those of the map. */
class CheckedReference implements DigestReference {
  readonly #file: DigestPages
  readonly #map: DigestReference
  readonly #say: (error: unknown) => void
  #damaged = false

  constructor(file: DigestPages, map: DigestReference, say: (error: unknown) => void) {
    this.#file = file
    this.#map = map
    this.#say = say
  }

  async page(page: number): Promise<Uint8Array | null> {
    if (!this.#damaged) {
      try {
        return this.#file.page(page)
      } catch (error) {
        if (!isDamage(error)) throw error
        this.#damaged = true
        this.#say(error)
      }
    }
    return await this.#map.page(page)
  }

  async pageWithData(page: number): Promise<number> {
    return this.#damaged ? await this.#map.pageWithData(page) : this.#file.pageWithData(page)
  }
}

/** The digests that the pass before this one found. */
export function passReference(pages: DigestPages): DigestReference {
  return {
    page: (page) => Promise.resolve(pages.page(page)),
    pageWithData: (page) => Promise.resolve(pages.pageWithData(page)),
  }
}
