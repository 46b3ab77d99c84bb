import { toStrataError, type StrataError } from '@strata/shared/errors.ts'
import { nbdExtentsMax, nbdRequestBytesMax, nbdRequestsInFlightMax, nbdUnsentBytesMax } from '@strata/shared/limits.ts'
import { ByteBudget } from '../../read/byte-budget.ts'
import type { DiskImage, ImagePart } from '../image/disk-image.ts'
import { allocationContextId, type Agreement } from './handshake.ts'
import type { NbdStream } from './nbd-stream.ts'
import {
  allocationFlags,
  commandFlags,
  commands,
  decodeRequest,
  encodeDataChunk,
  encodeErrorChunk,
  encodeHoleChunk,
  encodeSimpleReply,
  encodeStatusChunk,
  errors,
  requestBytes,
  type NbdError,
  type NbdRequest,
} from './protocol.ts'

/**
 * Answers the requests of one client until it leaves. Several are under way at the same time, and answered in the order in
 * which they are done. What a client cannot have is an error of its request, and not the end of the connection; only what is no
 * request is that.
 */
export async function answerRequests(
  stream: NbdStream,
  agreement: Agreement,
  onError: (error: StrataError) => void,
): Promise<void> {
  await new Transmission(stream, agreement, onError).run()
}

/** Zeros that are sent where nothing is stored. */
const zeros = new Uint8Array(1024 * 1024)

/** A client that is slower than we are must not keep memory of the cache, which others want. */
const copiedFromUnsentBytes = 24 * 1024 * 1024

class Transmission {
  readonly #stream: NbdStream
  readonly #agreement: Agreement
  readonly #image: DiskImage
  readonly #onError: (error: StrataError) => void
  readonly #budget = new ByteBudget(nbdUnsentBytesMax)
  readonly #underWay = new Set<Promise<void>>()

  constructor(stream: NbdStream, agreement: Agreement, onError: (error: StrataError) => void) {
    this.#stream = stream
    this.#agreement = agreement
    this.#image = agreement.export.image
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
    if (request.command === commands.write) {
      if (request.lengthBytes > nbdRequestBytesMax) return false
      if ((await this.#stream.read(request.lengthBytes)) === undefined) return false
    }
    while (this.#underWay.size >= nbdRequestsInFlightMax) await Promise.race(this.#underWay)
    const costBytes = request.command === commands.read ? Math.min(request.lengthBytes, nbdRequestBytesMax) : 0
    await this.#budget.take(costBytes)
    const answering = this.#answer(request).finally(() => {
      this.#budget.give(costBytes)
      this.#underWay.delete(answering)
    })
    this.#underWay.add(answering)
    return true
  }

  /** Never rejects. */
  async #answer(request: NbdRequest): Promise<void> {
    const refusal = this.#refusalOf(request)
    if (refusal !== undefined) {
      await this.#fail(request, refusal.error, refusal.why)
      return
    }
    try {
      await (request.command === commands.read ? this.#read(request) : this.#blockStatus(request))
    } catch (error) {
      const known = toStrataError(error)
      this.#onError(known)
      await this.#fail(request, errors.io, known.message)
    }
  }

  #refusalOf(request: NbdRequest): { readonly error: NbdError; readonly why: string } | undefined {
    const { command, flags, lengthBytes } = request
    const { isStructured, hasAllocation } = this.#agreement
    const invalid = (why: string) => ({ error: errors.inval, why })
    switch (command) {
      case commands.write:
      case commands.trim:
      case commands.writeZeroes:
        return { error: errors.perm, why: 'the export is read-only' }
      case commands.read:
        if ((flags & ~(isStructured ? commandFlags.df : 0)) !== 0) return invalid('unknown flags')
        if (lengthBytes > nbdRequestBytesMax)
          return invalid(`at most ${String(nbdRequestBytesMax)} bytes in one request`)
        return this.#isOnDisk(request) ? undefined : invalid('the range is not on the disk')
      case commands.blockStatus:
        if (!hasAllocation) return invalid('no context was agreed on')
        if ((flags & ~commandFlags.reqOne) !== 0) return invalid('unknown flags')
        return this.#isOnDisk(request) ? undefined : invalid('the range is not on the disk')
      default:
        return invalid('unknown command')
    }
  }

  #isOnDisk({ offset, lengthBytes }: NbdRequest): boolean {
    return lengthBytes > 0 && offset + BigInt(lengthBytes) <= BigInt(this.#image.sizeBytes)
  }

  async #read(request: NbdRequest): Promise<void> {
    const offset = Number(request.offset)
    const read = await this.#image.read(offset, request.lengthBytes)
    try {
      const isSlow = this.#stream.unsentBytes > copiedFromUnsentBytes
      const parts = isSlow ? copied(read.parts) : read.parts
      const reply = this.#agreement.isStructured
        ? structuredReply(request, offset, parts)
        : [encodeSimpleReply(request.cookie, 0), ...bytesOf(parts)]
      const writing = this.#stream.write(...reply)
      if (isSlow) read.release()
      await writing
      if (!isSlow) read.release()
    } catch (error) {
      read.release()
      throw error
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

function copied(parts: readonly ImagePart[]): ImagePart[] {
  return parts.map((part) => ('bytes' in part ? { bytes: part.bytes.slice() } : part))
}
