import { toStrataError, type StrataError } from '@strata/shared/errors.ts'
import { nbdExtentsMax, nbdRequestBytesMax, nbdRequestsInFlightMax, nbdUnsentBytesMax } from '@strata/shared/limits.ts'
import { ByteBudget } from '../../read/byte-budget.ts'
import { isWritable, type DiskImage, type ImagePart, type WritableImage } from '../image/disk-image.ts'
import { allocationContextId, type Agreement } from './handshake.ts'
import type { HeldMemory } from './held-memory.ts'
import type { NbdStream } from './nbd-stream.ts'
import {
  allocationFlags,
  commandFlags,
  commands,
  decodeRequest,
  encodeDataChunk,
  encodeDoneChunk,
  encodeErrorChunk,
  encodeHoleChunk,
  encodeSimpleReply,
  encodeStatusChunk,
  errors,
  requestBytes,
  type NbdError,
  type NbdRequest,
} from './protocol.ts'

export interface TransmissionOptions {
  readonly stream: NbdStream
  readonly agreement: Agreement
  /** Of all clients. */
  readonly held: HeldMemory
  /** A request that could not be answered. */
  readonly onError: (error: StrataError) => void
}

/**
 * Answers the requests of one client until it leaves. Several are under way at the same time, and answered in the order in
 * which they are done. What a client cannot have is an error of its request, and not the end of the connection; only what is no
 * request is that.
 */
export async function answerRequests(options: TransmissionOptions): Promise<void> {
  await new Transmission(options).run()
}

const noPayload = new Uint8Array(0)

interface Refusal {
  readonly error: NbdError
  readonly why: string
}

/** Zeros that are sent where nothing is stored. */
const zeros = new Uint8Array(1024 * 1024)

class Transmission {
  readonly #stream: NbdStream
  readonly #agreement: Agreement
  readonly #image: DiskImage
  readonly #held: HeldMemory
  readonly #onError: (error: StrataError) => void
  readonly #budget = new ByteBudget(nbdUnsentBytesMax)
  readonly #underWay = new Set<Promise<void>>()

  constructor({ stream, agreement, held, onError }: TransmissionOptions) {
    this.#stream = stream
    this.#agreement = agreement
    this.#image = agreement.export.image
    this.#held = held
    this.#onError = onError
  }

  async run(): Promise<void> {
    for (;;) {
      const head = await this.#stream.read(requestBytes)
      const request = head === undefined ? undefined : decodeRequest(head)
      if (request === undefined || request.command === commands.disconnect) break
      if (!(await this.#take(request))) break
    }
    await Promise.all(this.#underWay)
  }

  /** False: what follows cannot be told from a request. */
  async #take(request: NbdRequest): Promise<boolean> {
    const isWrite = request.command === commands.write
    if (isWrite && request.lengthBytes > nbdRequestBytesMax) return false
    while (this.#underWay.size >= nbdRequestsInFlightMax) await Promise.race(this.#underWay)
    const costBytes =
      isWrite || request.command === commands.read ? Math.min(request.lengthBytes, nbdRequestBytesMax) : 0
    await this.#budget.take(costBytes)
    const payload = isWrite ? await this.#stream.read(request.lengthBytes) : noPayload
    if (payload === undefined) return false
    const answering = this.#answer(request, payload).finally(() => {
      this.#budget.give(costBytes)
      this.#underWay.delete(answering)
    })
    this.#underWay.add(answering)
    return true
  }

  /** Never rejects. */
  async #answer(request: NbdRequest, payload: Uint8Array): Promise<void> {
    const refusal = this.#refusalOf(request)
    if (refusal !== undefined) {
      await this.#fail(request, refusal.error, refusal.why)
      return
    }
    try {
      if (request.command === commands.read) await this.#read(request)
      else if (request.command === commands.blockStatus) await this.#blockStatus(request)
      else if (isWritable(this.#image)) await this.#change(this.#image, request, payload)
    } catch (error) {
      const known = toStrataError(error)
      this.#onError(known)
      await this.#fail(request, known.code === 'E_TARGET_FULL' ? errors.nospc : errors.io, known.message)
    }
  }

  #refusalOf(request: NbdRequest): Refusal | undefined {
    const { command, lengthBytes } = request
    const rules = this.#rulesOf(command)
    if (rules === undefined) return { error: errors.inval, why: 'unknown command' }
    if (rules.needsWritable && !isWritable(this.#image)) {
      return { error: command === commands.flush ? errors.inval : errors.perm, why: 'the export is read-only' }
    }
    if ((request.flags & ~rules.flags) !== 0) return { error: errors.inval, why: 'unknown flags' }
    if (command === commands.blockStatus && !this.#agreement.hasAllocation) {
      return { error: errors.inval, why: 'no context was agreed on' }
    }
    if (command === commands.read && lengthBytes > nbdRequestBytesMax) {
      return { error: errors.inval, why: `at most ${String(nbdRequestBytesMax)} bytes in one request` }
    }
    if (command === commands.flush || this.#isOnDisk(request)) return undefined
    return { error: rules.needsWritable ? errors.nospc : errors.inval, why: 'the range is not on the disk' }
  }

  /** undefined: there is no such command. */
  #rulesOf(command: number): { readonly needsWritable: boolean; readonly flags: number } | undefined {
    const { fua, noHole, df, reqOne } = commandFlags
    switch (command) {
      case commands.read:
        return { needsWritable: false, flags: this.#agreement.isStructured ? df : 0 }
      case commands.blockStatus:
        return { needsWritable: false, flags: reqOne }
      case commands.flush:
        return { needsWritable: true, flags: 0 }
      case commands.write:
      case commands.trim:
        return { needsWritable: true, flags: fua }
      case commands.writeZeroes:
        return { needsWritable: true, flags: fua | noHole }
      default:
        return undefined
    }
  }

  #isOnDisk({ offset, lengthBytes }: NbdRequest): boolean {
    return lengthBytes > 0 && offset + BigInt(lengthBytes) <= BigInt(this.#image.sizeBytes)
  }

  async #change(image: WritableImage, request: NbdRequest, payload: Uint8Array): Promise<void> {
    const { command, flags, lengthBytes, cookie } = request
    const offset = Number(request.offset)
    if (command === commands.write) await image.write(offset, payload)
    else if (command === commands.writeZeroes && (flags & commandFlags.noHole) !== 0) {
      for (const piece of zerosOf(lengthBytes)) await image.write(offset + piece.at, piece.bytes)
    } else if (command !== commands.flush) await image.zero(offset, lengthBytes)
    if (command === commands.flush || (flags & commandFlags.fua) !== 0) await image.flush()
    await this.#stream.write(this.#agreement.isStructured ? encodeDoneChunk(cookie) : encodeSimpleReply(cookie, 0))
  }

  async #read(request: NbdRequest): Promise<void> {
    const offset = Number(request.offset)
    const read = await this.#image.read(offset, request.lengthBytes)
    const isHeld = this.#held.take(read.heldBytes)
    try {
      const parts = isHeld ? read.parts : copied(read.parts)
      if (!isHeld) read.release()
      const reply = this.#agreement.isStructured
        ? structuredReply(request, offset, parts)
        : [encodeSimpleReply(request.cookie, 0), ...bytesOf(parts)]
      await this.#stream.write(...reply)
    } finally {
      if (isHeld) {
        this.#held.give(read.heldBytes)
        read.release()
      }
    }
  }

  async #blockStatus({ cookie, flags, offset, lengthBytes }: NbdRequest): Promise<void> {
    const countMax = (flags & commandFlags.reqOne) === 0 ? nbdExtentsMax : 1
    const extents = await this.#image.extents(Number(offset), lengthBytes, countMax)
    const statuses = extents.map((extent) => ({
      lengthBytes: extent.lengthBytes,
      flags: extent.isZero ? allocationFlags.hole | allocationFlags.zero : 0,
    }))
    await this.#stream.write(encodeStatusChunk(cookie, allocationContextId, statuses))
  }

  async #fail({ cookie }: NbdRequest, error: NbdError, why: string): Promise<void> {
    const { isStructured } = this.#agreement
    await this.#stream.write(isStructured ? encodeErrorChunk(cookie, error, why) : encodeSimpleReply(cookie, error))
  }
}

/** A chunk for each stretch of bytes and each of zeros; where the client wants one chunk, zeros are sent as such. */
function structuredReply(
  { cookie, flags, lengthBytes }: NbdRequest,
  offset: number,
  parts: readonly ImagePart[],
): Uint8Array[] {
  const isOne = (flags & commandFlags.df) !== 0
  if (isOne) return [encodeDataChunk(cookie, offset, lengthBytes, true), ...bytesOf(parts)]
  const end = offset + lengthBytes
  const reply: Uint8Array[] = []
  let at = offset
  for (const stretch of stretchesOf(parts)) {
    const stretchBytes = stretch.reduce((sum, part) => sum + lengthOf(part), 0)
    const isLast = at + stretchBytes === end
    const isHole = stretch.every((part) => 'zeroBytes' in part)
    reply.push(
      isHole ? encodeHoleChunk(cookie, at, stretchBytes, isLast) : encodeDataChunk(cookie, at, stretchBytes, isLast),
      ...(isHole ? [] : bytesOf(stretch)),
    )
    at += stretchBytes
  }
  return reply
}

/** Parts of one kind that follow each other. */
function stretchesOf(parts: readonly ImagePart[]): ImagePart[][] {
  const stretches: ImagePart[][] = []
  for (const part of parts) {
    const last = stretches.at(-1)
    if (last?.[0] !== undefined && 'zeroBytes' in last[0] === 'zeroBytes' in part) last.push(part)
    else stretches.push([part])
  }
  return stretches
}

function lengthOf(part: ImagePart): number {
  return 'bytes' in part ? part.bytes.length : part.zeroBytes
}

function* bytesOf(parts: readonly ImagePart[]): Generator<Uint8Array> {
  for (const part of parts) {
    if ('bytes' in part) yield part.bytes
    else
      for (let left = part.zeroBytes; left > 0; left -= zeros.length)
        yield zeros.subarray(0, Math.min(left, zeros.length))
  }
}

function* zerosOf(length: number): Generator<{ readonly at: number; readonly bytes: Uint8Array }> {
  for (let at = 0; at < length; at += zeros.length)
    yield { at, bytes: zeros.subarray(0, Math.min(zeros.length, length - at)) }
}

function copied(parts: readonly ImagePart[]): ImagePart[] {
  return parts.map((part) => ('bytes' in part ? { bytes: part.bytes.slice() } : part))
}
