import { createHash } from 'node:crypto'
import { copyFile, open, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { KiB } from '../end-to-end/place.ts'
import type { Chance } from './chance.ts'
import type { Change } from './scenario.ts'

export const blockBytes = 64 * KiB

/** What all disks of a machine held at one moment. */
export interface Moment {
  readonly disks: readonly DiskThen[]
}

export interface DiskThen {
  readonly sizeBytes: number
  readonly sha256: string
  /** Of each block; empty: all zeros. */
  readonly blocks: readonly string[]
}

interface Undo {
  readonly disk: number
  readonly offset: number
  readonly bytes: Buffer
}

/** The disks of one machine, and every moment that they ever had. */
export class Disks {
  readonly moments: Moment[] = []
  readonly #contents: Buffer[] = []
  readonly #directory: string
  readonly #chance: Chance
  readonly #undo: Undo[] = []

  private constructor(directory: string, chance: Chance) {
    this.#directory = directory
    this.#chance = chance
  }

  static async make(directory: string, diskBytes: readonly number[], chance: Chance): Promise<Disks> {
    const disks = new Disks(directory, chance)
    for (const sizeBytes of diskBytes) disks.#contents.push(filled(sizeBytes, chance))
    for (const [disk, content] of disks.#contents.entries()) await writeFile(disks.path(disk), content)
    disks.#note()
    return disks
  }

  /** The same disks on another machine, from now on apart from these. */
  async clone(directory: string, chance: Chance): Promise<Disks> {
    const copy = new Disks(directory, chance)
    for (const [disk, content] of this.#contents.entries()) {
      copy.#contents.push(Buffer.from(content))
      await copyFile(this.path(disk), copy.path(disk))
    }
    copy.#note()
    return copy
  }

  get count(): number {
    return this.#contents.length
  }

  get now(): Moment {
    const last = this.moments.at(-1)
    if (last === undefined) throw new Error('disks have a moment')
    return last
  }

  path(disk: number): string {
    return join(this.#directory, `disk${String(disk)}.img`)
  }

  /** For `strata agent run`. */
  sources(): string[] {
    return this.#contents.map((_, disk) => `${diskName(disk)}=${this.path(disk)}`)
  }

  content(disk: number): Buffer {
    return this.#contents[disk] ?? Buffer.alloc(0)
  }

  async change({ disk, what, from, length }: Change): Promise<void> {
    const content = this.content(disk)
    if (what === 'grow') {
      await this.#grow(disk)
      return
    }
    const last = this.#undo.pop()
    if (what === 'undo' && last !== undefined) {
      await this.#write(last.disk, last.offset, last.bytes)
      return
    }
    if (last !== undefined) this.#undo.push(last)
    const offset = Math.floor((content.length * from) / 1000)
    const bytes = Math.max(1, Math.min(content.length - offset, Math.floor((content.length * length) / 1000)))
    this.#undo.push({ disk, offset, bytes: Buffer.from(content.subarray(offset, offset + bytes)) })
    await this.#write(disk, offset, what === 'zero' ? Buffer.alloc(bytes) : this.#chance.bytes(bytes))
  }

  /** One write of a running machine, in one system call. */
  async writeSomething(): Promise<void> {
    const disk = this.#chance.whole(0, this.count - 1)
    const { length } = this.content(disk)
    const bytes = this.#chance.bytes(this.#chance.one([1, 4 * KiB, 96 * KiB]))
    await this.#write(disk, this.#chance.whole(0, length - bytes.length), bytes)
  }

  async #grow(disk: number): Promise<void> {
    const grown = Buffer.concat([this.content(disk), Buffer.alloc(3 * blockBytes)])
    this.#contents[disk] = grown
    await truncate(this.path(disk), grown.length)
    this.#note()
  }

  async #write(disk: number, offset: number, bytes: Buffer): Promise<void> {
    const content = this.content(disk)
    bytes.copy(content, offset)
    // Noted first: whoever reads it must find it among the moments.
    this.#note()
    const file = await open(this.path(disk), 'r+')
    await file.write(bytes, 0, bytes.length, offset)
    await file.close()
  }

  #note(): void {
    this.moments.push({ disks: this.#contents.map(describe) })
  }
}

export function diskName(disk: number): string {
  return `disk${String(disk)}`
}

function describe(content: Buffer): DiskThen {
  const blocks: string[] = []
  for (let offset = 0; offset < content.length; offset += blockBytes) {
    const block = content.subarray(offset, offset + blockBytes)
    blocks.push(block.every((byte) => byte === 0) ? '' : hashOf(block))
  }
  return { sizeBytes: content.length, sha256: hashOf(content), blocks }
}

export function hashOf(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}

/** Some of it is zeros, as on a disk; no two blocks are alike. */
function filled(sizeBytes: number, chance: Chance): Buffer {
  const content = chance.bytes(sizeBytes)
  for (let holes = chance.whole(0, 3); holes > 0; holes -= 1) {
    const from = chance.whole(0, sizeBytes - 1)
    content.fill(0, from, Math.min(sizeBytes, from + Math.floor(sizeBytes / chance.whole(3, 12))))
  }
  return content
}
