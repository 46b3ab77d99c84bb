import { Blake3Hasher } from '@napi-rs/blake-hash'
import { createHash, randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { StrataError } from '@strata/shared/errors.ts'
import type { DiskDescription, Warning } from '@strata/shared/format/manifest.ts'
import { decodeSegmentTail, type SegmentHeader } from '@strata/shared/format/segment.ts'
import { blockBytesDefault } from '@strata/shared/limits.ts'
import type {
  CommittedPoint,
  FinishRequest,
  OpenedSession,
  OpenRequest,
  RememberedPoint,
  Uplink,
} from '@strata/shared/protocol/uplink.ts'
import { asId, type ChainId, type SessionId, type SetId } from '@strata/shared/types.ts'

/**
 * A service in memory, for tests of the agent: keeps what it is sent, and checks it with computations of its own, as
 * plain as can be. It can lose segments, refuse them, and let a test act at every hand-over.
 */
export interface MemoryPoint {
  readonly session: SessionId
  readonly kind: 'full' | 'incremental' | 'differential'
  readonly manifestDigest: string
  readonly sequence: number
  readonly disks: readonly DiskDescription[]
  /** Whole disks, put together from blocks. */
  readonly images: readonly Buffer[]
  readonly end: FinishRequest
}

export interface MemoryUplinkSettings {
  readonly spoolDirectory: string
  readonly segmentBytesMax?: number
  /** Called before a segment is looked at, counted from 1 over the life of the uplink; it may throw. */
  readonly onSend?: (count: number, segment: number, path: string) => Promise<void> | void
  readonly onFinish?: () => void
  /** Acknowledges without looking: for measurements. */
  readonly blind?: boolean
}

export class MemoryUplink implements Uplink {
  readonly settings: MemoryUplinkSettings
  readonly points: MemoryPoint[] = []
  readonly blockDigestKey = randomBytes(32)
  readonly treeDigestKey = randomBytes(32)
  readonly set = asId<SetId>(newHexId())
  chain = asId<ChainId>(newHexId())
  sends = 0
  sendingNow = 0
  sendingPeak = 0
  abandoned = 0
  /** Pages of base digests that were asked for. */
  pagesAsked = 0
  /** What each session was told of the set's history, where it was. */
  presented: (readonly RememberedPoint[])[] = []
  segments: SegmentHeader[] = []

  constructor(settings: MemoryUplinkSettings) {
    this.settings = settings
  }

  open(request: OpenRequest): Promise<OpenedSession> {
    const last = this.points.at(-1)
    const kind = request.kind === 'auto' ? (last === undefined ? 'full' : 'incremental') : request.kind
    const full = this.points.findLast((point) => point.kind === 'full')
    const base = kind === 'full' ? undefined : kind === 'incremental' ? last : full
    if (kind === 'full') this.chain = asId<ChainId>(newHexId())
    const disks = request.disks.map(({ name, sizeBytes, identity, blockBytes }) => {
      return { name, sizeBytes, identity, blockBytes: blockBytes ?? base?.disks[0]?.blockBytes ?? blockBytesDefault }
    })
    this.segments = []
    return Promise.resolve(new MemorySession(this, request.setName, kind, base, disks))
  }
}

class MemorySession implements OpenedSession {
  readonly session = asId<SessionId>(newHexId())
  readonly set: SetId
  readonly setName: string
  readonly chain: ChainId
  readonly base: OpenedSession['base']
  readonly sequenceAtOpen: number
  readonly blockDigestKey: Uint8Array
  readonly treeDigestKey: Uint8Array
  readonly transportKey = randomBytes(32)
  readonly expiresAt = '2100-01-01T00:00:00.000Z'
  readonly warnings = []
  readonly spoolDirectory: string
  readonly segmentBytesMax: number
  readonly kind: MemoryPoint['kind']
  readonly disks: readonly DiskDescription[]
  readonly #uplink: MemoryUplink
  readonly #basePoint: MemoryPoint | undefined
  readonly #segments = new Map<number, { header: SegmentHeader; frames: Buffer }>()

  constructor(
    uplink: MemoryUplink,
    setName: string,
    kind: MemoryPoint['kind'],
    base: MemoryPoint | undefined,
    disks: readonly DiskDescription[],
  ) {
    this.#uplink = uplink
    this.#basePoint = base
    this.set = uplink.set
    this.setName = setName
    this.sequenceAtOpen = base?.sequence ?? 0
    this.chain = uplink.chain
    this.kind = kind
    this.disks = disks
    this.blockDigestKey = uplink.blockDigestKey
    this.treeDigestKey = uplink.treeDigestKey
    this.spoolDirectory = uplink.settings.spoolDirectory
    this.segmentBytesMax = uplink.settings.segmentBytesMax ?? 64 * 1024 * 1024
    this.base =
      base === undefined ? null : { point: base.session, sequence: base.sequence, manifestDigest: base.manifestDigest }
  }

  presentHistory(points: readonly RememberedPoint[]): Promise<Warning[]> {
    this.#uplink.presented.push(points)
    const has = ({ sequence, manifestDigest }: RememberedPoint): boolean =>
      this.#uplink.points[sequence - 1]?.manifestDigest === manifestDigest
    const gone = points.filter((point) => !has(point))
    return Promise.resolve(gone.map(({ sequence }) => ({ code: 'W_HISTORY_CUT', message: `no ${String(sequence)}` })))
  }

  baseDigests(disk: number, firstPage: number, pageCount: number): Promise<Uint8Array> {
    this.#uplink.pagesAsked += pageCount
    const image = this.#basePoint?.images[disk]
    const description = this.#basePoint?.disks[disk]
    check(image !== undefined && description !== undefined, 'digests are asked for only of a base')
    const digests = plainDigests(image, description.blockBytes, this.blockDigestKey)
    return Promise.resolve(Buffer.concat(digests.slice(firstPage * 1024, (firstPage + pageCount) * 1024)))
  }

  async send(segment: number, path: string): Promise<void> {
    const uplink = this.#uplink
    uplink.sends += 1
    uplink.sendingNow += 1
    uplink.sendingPeak = Math.max(uplink.sendingPeak, uplink.sendingNow)
    try {
      await uplink.settings.onSend?.(uplink.sends, segment, path)
      if (uplink.settings.blind !== true) this.#take(segment, path)
    } finally {
      uplink.sendingNow -= 1
    }
  }

  #take(segment: number, path: string): void {
    const file = readFileSync(path)
    const header = decodeSegmentTail(path, file, file.length)
    check(typeof header !== 'number', 'the whole file was given')
    check(header.session === this.session && header.segment === segment, 'the segment says what it is')
    check(header.blockBytes === this.disks[header.disk]?.blockBytes, 'the block size of the session')
    let frames = 0
    for (const entry of header.entries) {
      if (entry.state !== 'data') continue
      const block = file.subarray(entry.offset, entry.offset + entry.length)
      check(plainDigest(block, this.blockDigestKey).equals(entry.digest), `the digest of block ${String(entry.block)}`)
      frames += entry.length
    }
    check(frames <= Math.max(this.segmentBytesMax, header.blockBytes), 'a segment is not larger than asked for')
    this.#segments.set(segment, { header, frames: file.subarray(0, frames) })
    this.#uplink.segments.push(header)
  }

  finish(end: FinishRequest): Promise<CommittedPoint> {
    this.#uplink.settings.onFinish?.()
    const images =
      this.#uplink.settings.blind === true ? [] : this.disks.map((_disk, index) => this.#assemble(index, end))
    const sequence = this.#uplink.points.length + 1
    const manifestDigest = createHash('sha256').update(this.session).digest('hex')
    const { session, kind, disks } = this
    this.#uplink.points.push({ session, kind, disks, images, sequence, manifestDigest, end })
    return Promise.resolve({
      point: session,
      sequence,
      manifestDigest,
      createdAt: end.capturedAt,
      storedBytes: 0,
      warnings: end.warnings,
    })
  }

  #assemble(disk: number, end: FinishRequest): Buffer {
    const description = this.disks[disk]
    check(description !== undefined, 'a disk of the session')
    const { sizeBytes, blockBytes } = description
    check(end.segments === this.#segments.size, 'as many segments as were sent')
    const base = Buffer.alloc(sizeBytes)
    this.#basePoint?.images[disk]?.copy(base)
    const image = Buffer.from(base)
    for (let segment = 0; segment < end.segments; segment += 1) {
      const found = this.#segments.get(segment)
      check(found !== undefined, `segment ${String(segment)} was sent`)
      if (found.header.disk !== disk) continue
      for (const entry of found.header.entries) {
        const at = entry.block * blockBytes
        const to = Math.min(at + blockBytes, sizeBytes)
        if (entry.state === 'data') found.frames.copy(image, at, entry.offset, entry.offset + entry.length)
        else if (entry.state === 'zero') image.fill(0, at, to)
        else base.copy(image, at, at, to)
      }
    }
    const root = plainContentRoot(image, blockBytes, this.blockDigestKey, this.treeDigestKey)
    if (!root.equals(end.contentRoots[disk] ?? new Uint8Array())) {
      throw new StrataError('E_CONTENT_ROOT', `disk ${String(disk)} is not what the agent read`)
    }
    return image
  }

  abandon(): Promise<void> {
    this.#uplink.abandoned += 1
    return Promise.resolve()
  }
}

function plainDigest(block: Buffer, key: Buffer | Uint8Array): Buffer {
  if (block.equals(Buffer.alloc(block.length))) return Buffer.alloc(32)
  return Blake3Hasher.newKeyed(Buffer.from(key)).update(block).digestBuffer()
}

function plainDigests(image: Buffer, blockBytes: number, key: Uint8Array): Buffer[] {
  return parts(image, blockBytes).map((block) => plainDigest(block, key))
}

/** docs/format.md, "Digests", over all digests at once. */
function plainContentRoot(image: Buffer, blockBytes: number, blockKey: Uint8Array, treeKey: Uint8Array): Buffer {
  const keyed = (...bytes: Uint8Array[]): Buffer =>
    Blake3Hasher.newKeyed(Buffer.from(treeKey)).update(Buffer.concat(bytes)).digestBuffer()
  const up = (digests: Buffer[], level: number): Buffer[] =>
    parts(Buffer.concat(digests), 1024 * 32).map((group) => {
      return group.every((byte) => byte === 0) ? Buffer.alloc(32) : keyed(Buffer.of(level), group)
    })
  const nodes = up(up(plainDigests(image, blockBytes, blockKey), 0), 1)
  const head = Buffer.alloc(13)
  head.writeUInt8(2, 0)
  head.writeBigUInt64LE(BigInt(image.length), 1)
  head.writeUInt32LE(blockBytes, 9)
  return keyed(head, ...nodes)
}

function parts(bytes: Buffer, partBytes: number): Buffer[] {
  return Array.from({ length: Math.ceil(bytes.length / partBytes) }, (_, index) =>
    bytes.subarray(index * partBytes, (index + 1) * partBytes),
  )
}

function newHexId(): string {
  return randomBytes(16).toString('hex')
}

function check(condition: boolean, what: string): asserts condition {
  if (!condition) throw new StrataError('E_BUG', `the test service expected ${what}`)
}
