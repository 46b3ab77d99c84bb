import { invariant } from '@strata/shared/errors.ts'

/**
 * Numbers and layouts of NBD's protocol. Pure. Source: https://github.com/NetworkBlockDevice/nbd/blob/master/doc/proto.md
 * All numbers are big-endian.
 */

// ── handshake ──────────────────────────────────────────────────────────────────────────────────────────────────────

const initialMagic = 0x4e42444d41474943n
const optionMagic = 0x49484156454f5054n
const optionReplyMagic = 0x0003e889045565a9n

export const handshakeFlags = { fixedNewstyle: 1, noZeroes: 2 } as const

/** The server's first words. */
export function encodeGreeting(): Uint8Array {
  const bytes = Buffer.alloc(18)
  bytes.writeBigUInt64BE(initialMagic, 0)
  bytes.writeBigUInt64BE(optionMagic, 8)
  bytes.writeUInt16BE(handshakeFlags.fixedNewstyle | handshakeFlags.noZeroes, 16)
  return bytes
}

export const clientFlagsBytes = 4

export const options = {
  exportName: 1,
  abort: 2,
  list: 3,
  startTls: 5,
  info: 6,
  go: 7,
  structuredReply: 8,
  listMetaContext: 9,
  setMetaContext: 10,
} as const

export const optionHeaderBytes = 16

export interface OptionHeader {
  readonly option: number
  readonly lengthBytes: number
}

/** undefined: it does not begin as an option does. */
export function decodeOptionHeader(bytes: Buffer): OptionHeader | undefined {
  if (bytes.readBigUInt64BE(0) !== optionMagic) return undefined
  return { option: bytes.readUInt32BE(8), lengthBytes: bytes.readUInt32BE(12) }
}

const errorBit = 0x8000_0000
export const optionReplies = {
  ack: 1,
  server: 2,
  info: 3,
  metaContext: 4,
  unsupported: errorBit + 1,
  policy: errorBit + 2,
  invalid: errorBit + 3,
  tlsRequired: errorBit + 5,
  unknown: errorBit + 6,
  tooBig: errorBit + 9,
} as const

export function encodeOptionReply(option: number, type: number, data: Uint8Array = new Uint8Array(0)): Uint8Array {
  const bytes = Buffer.alloc(20 + data.length)
  bytes.writeBigUInt64BE(optionReplyMagic, 0)
  bytes.writeUInt32BE(option, 8)
  bytes.writeUInt32BE(type, 12)
  bytes.writeUInt32BE(data.length, 16)
  bytes.set(data, 20)
  return bytes
}

export const transmissionFlags = {
  hasFlags: 1,
  readOnly: 2,
  sendFlush: 4,
  sendFua: 8,
  sendTrim: 32,
  sendWriteZeroes: 64,
  sendDf: 128,
  canMultiConn: 256,
} as const

/** The answer to NBD_OPT_EXPORT_NAME, which has no header. */
export function encodeExportName(sizeBytes: number, flags: number, noZeroes: boolean): Uint8Array {
  const bytes = Buffer.alloc(noZeroes ? 10 : 134)
  bytes.writeBigUInt64BE(BigInt(sizeBytes), 0)
  bytes.writeUInt16BE(flags, 8)
  return bytes
}

export const infoTypes = { export: 0, name: 1, description: 2, blockSize: 3 } as const

export function encodeInfoExport(sizeBytes: number, flags: number): Uint8Array {
  const bytes = Buffer.alloc(12)
  bytes.writeUInt16BE(infoTypes.export, 0)
  bytes.writeBigUInt64BE(BigInt(sizeBytes), 2)
  bytes.writeUInt16BE(flags, 10)
  return bytes
}

export function encodeInfoText(type: number, text: string): Uint8Array {
  const head = Buffer.alloc(2)
  head.writeUInt16BE(type, 0)
  return Buffer.concat([head, Buffer.from(text)])
}

export interface BlockSizes {
  readonly minimum: number
  readonly preferred: number
  readonly maximum: number
}

export function encodeInfoBlockSize({ minimum, preferred, maximum }: BlockSizes): Uint8Array {
  const bytes = Buffer.alloc(14)
  bytes.writeUInt16BE(infoTypes.blockSize, 0)
  bytes.writeUInt32BE(minimum, 2)
  bytes.writeUInt32BE(preferred, 6)
  bytes.writeUInt32BE(maximum, 10)
  return bytes
}

/** The data of NBD_REP_SERVER. */
export function encodeServerEntry(name: string): Uint8Array {
  const text = Buffer.from(name)
  const head = Buffer.alloc(4)
  head.writeUInt32BE(text.length, 0)
  return Buffer.concat([head, text])
}

export function encodeMetaContext(id: number, name: string): Uint8Array {
  const head = Buffer.alloc(4)
  head.writeUInt32BE(id, 0)
  return Buffer.concat([head, Buffer.from(name)])
}

export interface InfoRequest {
  readonly name: string
  readonly infos: readonly number[]
}

/** Data of NBD_OPT_INFO and NBD_OPT_GO. undefined: it is none. */
export function decodeInfoRequest(data: Buffer): InfoRequest | undefined {
  const fields = new Fields(data)
  const name = fields.text()
  const count = fields.u16()
  if (name === undefined || count === undefined || fields.left !== 2 * count) return undefined
  return { name, infos: Array.from({ length: count }, () => fields.u16() ?? 0) }
}

export interface MetaContextRequest {
  readonly name: string
  readonly queries: readonly string[]
}

/** Data of the two options about contexts. undefined: it is none. */
export function decodeMetaContextRequest(data: Buffer): MetaContextRequest | undefined {
  const fields = new Fields(data)
  const name = fields.text()
  const count = fields.u32()
  if (name === undefined || count === undefined) return undefined
  const queries: string[] = []
  for (let index = 0; index < count; index += 1) {
    const query = fields.text()
    if (query === undefined) return undefined
    queries.push(query)
  }
  return fields.left === 0 ? { name, queries } : undefined
}

/** Reads one field after the other; undefined where the bytes end before it does. */
class Fields {
  readonly #bytes: Buffer
  #at = 0

  constructor(bytes: Buffer) {
    this.#bytes = bytes
  }

  get left(): number {
    return this.#bytes.length - this.#at
  }

  u16(): number | undefined {
    const at = this.#take(2)
    return at === undefined ? undefined : this.#bytes.readUInt16BE(at)
  }

  u32(): number | undefined {
    const at = this.#take(4)
    return at === undefined ? undefined : this.#bytes.readUInt32BE(at)
  }

  /** Its length, then its bytes. */
  text(): string | undefined {
    const length = this.u32()
    const at = length === undefined ? undefined : this.#take(length)
    return at === undefined || length === undefined ? undefined : this.#bytes.toString('utf8', at, at + length)
  }

  #take(bytes: number): number | undefined {
    if (this.left < bytes) return undefined
    this.#at += bytes
    return this.#at - bytes
  }
}

// ── transmission ───────────────────────────────────────────────────────────────────────────────────────────────────

const requestMagic = 0x2560_9513
const simpleReplyMagic = 0x6744_6698
const structuredReplyMagic = 0x668e_33ef

export const commands = { read: 0, write: 1, disconnect: 2, flush: 3, trim: 4, writeZeroes: 6, blockStatus: 7 } as const
export const commandFlags = { fua: 1, noHole: 2, df: 4, reqOne: 8 } as const

export const requestBytes = 28

export interface NbdRequest {
  readonly flags: number
  readonly command: number
  /** What its answer is told by. */
  readonly cookie: bigint
  readonly offset: bigint
  readonly lengthBytes: number
}

/** undefined: it does not begin as a request does. */
export function decodeRequest(bytes: Buffer): NbdRequest | undefined {
  if (bytes.readUInt32BE(0) !== requestMagic) return undefined
  return {
    flags: bytes.readUInt16BE(4),
    command: bytes.readUInt16BE(6),
    cookie: bytes.readBigUInt64BE(8),
    offset: bytes.readBigUInt64BE(16),
    lengthBytes: bytes.readUInt32BE(24),
  }
}

export const errors = { perm: 1, io: 5, inval: 22, nospc: 28 } as const
export type NbdError = (typeof errors)[keyof typeof errors]

export function encodeSimpleReply(cookie: bigint, error: NbdError | 0): Uint8Array {
  const bytes = Buffer.alloc(16)
  bytes.writeUInt32BE(simpleReplyMagic, 0)
  bytes.writeUInt32BE(error, 4)
  bytes.writeBigUInt64BE(cookie, 8)
  return bytes
}

const chunkTypes = { none: 0, offsetData: 1, offsetHole: 2, blockStatus: 5, error: 0x8001 } as const
const chunkDone = 1
const chunkHeaderBytes = 20

/** @param payload what the server writes of it itself; `more` bytes follow */
function encodeChunk(cookie: bigint, type: number, isLast: boolean, payload: Uint8Array, more = 0): Uint8Array {
  const bytes = Buffer.alloc(chunkHeaderBytes + payload.length)
  bytes.writeUInt32BE(structuredReplyMagic, 0)
  bytes.writeUInt16BE(isLast ? chunkDone : 0, 4)
  bytes.writeUInt16BE(type, 6)
  bytes.writeBigUInt64BE(cookie, 8)
  bytes.writeUInt32BE(payload.length + more, 16)
  bytes.set(payload, chunkHeaderBytes)
  return bytes
}

/** Before so many bytes of the disk. */
export function encodeDataChunk(cookie: bigint, offset: number, lengthBytes: number, isLast: boolean): Uint8Array {
  const place = Buffer.alloc(8)
  place.writeBigUInt64BE(BigInt(offset), 0)
  return encodeChunk(cookie, chunkTypes.offsetData, isLast, place, lengthBytes)
}

export function encodeHoleChunk(cookie: bigint, offset: number, lengthBytes: number, isLast: boolean): Uint8Array {
  const place = Buffer.alloc(12)
  place.writeBigUInt64BE(BigInt(offset), 0)
  place.writeUInt32BE(lengthBytes, 8)
  return encodeChunk(cookie, chunkTypes.offsetHole, isLast, place)
}

export interface StatusExtent {
  readonly lengthBytes: number
  readonly flags: number
}

/** `base:allocation`: nothing is stored, and it reads as zeros. */
export const allocationFlags = { hole: 1, zero: 2 } as const

export function encodeStatusChunk(cookie: bigint, context: number, extents: readonly StatusExtent[]): Uint8Array {
  invariant(extents.length > 0, 'a status is about something')
  const bytes = Buffer.alloc(4 + 8 * extents.length)
  bytes.writeUInt32BE(context, 0)
  for (const [index, { lengthBytes, flags }] of extents.entries()) {
    bytes.writeUInt32BE(lengthBytes, 4 + 8 * index)
    bytes.writeUInt32BE(flags, 8 + 8 * index)
  }
  return encodeChunk(cookie, chunkTypes.blockStatus, true, bytes)
}

export function encodeErrorChunk(cookie: bigint, error: NbdError, message: string): Uint8Array {
  const text = Buffer.from(message).subarray(0, 4096)
  const bytes = Buffer.alloc(6 + text.length)
  bytes.writeUInt32BE(error, 0)
  bytes.writeUInt16BE(text.length, 4)
  bytes.set(text, 6)
  return encodeChunk(cookie, chunkTypes.error, true, bytes)
}

/** Where there is nothing to tell but that it is done. */
export function encodeDoneChunk(cookie: bigint): Uint8Array {
  return encodeChunk(cookie, chunkTypes.none, true, new Uint8Array(0))
}
