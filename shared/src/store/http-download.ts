import { StrataError } from '../errors.ts'
import { brokenBodyError } from './http-errors.ts'
import { readBody } from './http-transfer.ts'
import { tooLongError, truncatedError } from './object-errors.ts'
import type { Wanted } from './object-errors.ts'
import type { ByteRange } from './object-store.ts'

/** The second half of a get from a cloud store: is the answer what was asked for, and does all of it arrive? */

export interface ObjectAnswer {
  readonly contentRange: string | undefined
  readonly contentLength: number | undefined
  readonly body: (AsyncIterable<Uint8Array> & { destroy(): void }) | undefined
}

export interface ObjectQuestion extends Wanted {
  readonly name: string
  /** The store's description. */
  readonly where: string
}

/** Reads the answer's body. A range must come exactly; a body that breaks off is E_STORE_UNREACHABLE. */
export async function receiveObject(
  question: ObjectQuestion,
  answer: ObjectAnswer,
  progress: () => void,
): Promise<Uint8Array<ArrayBuffer>> {
  const { name, where, range } = question
  const problem = range === undefined ? problemWithWhole(question, answer) : problemWithRange(question, answer, range)
  if (problem !== undefined) {
    answer.body?.destroy()
    throw problem
  }
  if (answer.body === undefined) return new Uint8Array(0)
  try {
    if (range !== undefined) return await readBody(answer.body, range.length, progress)
    return await readBody(bounded(answer.body, question), answer.contentLength, progress)
  } catch (error) {
    throw brokenBodyError(error, `reading ${name} in ${where}`)
  }
}

function problemWithWhole({ name, where, bytesMax }: ObjectQuestion, answer: ObjectAnswer): StrataError | undefined {
  const sizeBytes = answer.contentLength
  return sizeBytes !== undefined && sizeBytes > bytesMax ? tooLongError(where, name, bytesMax, sizeBytes) : undefined
}

/** An answer need not announce its length, nor keep to it. */
async function* bounded(
  body: AsyncIterable<Uint8Array>,
  { name, where, bytesMax }: ObjectQuestion,
): AsyncGenerator<Uint8Array> {
  let received = 0
  for await (const chunk of body) {
    received += chunk.byteLength
    if (received > bytesMax) throw tooLongError(where, name, bytesMax)
    yield chunk
  }
}

function problemWithRange(question: ObjectQuestion, answer: ObjectAnswer, range: ByteRange): StrataError | undefined {
  const { name, where } = question
  const sent = parseContentRange(answer.contentRange)
  if (sent === undefined) {
    // Azurite answers with the whole of an empty blob, where Azure says 416.
    const sizeBytes = answer.contentLength
    const isShort = sizeBytes !== undefined && sizeBytes < range.offset + range.length
    return isShort ? truncatedError(where, name, range, sizeBytes) : protocolError(question, 'the whole')
  }
  if (sent.offset !== range.offset || sent.length > range.length) return protocolError(question, 'another range')
  return sent.length < range.length ? truncatedError(where, name, range, sent.sizeBytes) : undefined
}

function protocolError(question: ObjectQuestion, what: string): StrataError {
  return new StrataError(
    'E_STORE_PROTOCOL',
    `reading ${question.name} in ${question.where}: asked for a range, got ${what}`,
  )
}

interface ContentRange {
  readonly offset: number
  readonly length: number
  readonly sizeBytes: number | undefined
}

/** `bytes 5-9/20` as the offset and length of what was sent, and the object's size where it is said. */
function parseContentRange(header: string | undefined): ContentRange | undefined {
  const match = /^bytes (\d+)-(\d+)\/(?:(\d+)|\*)$/.exec(header ?? '')
  if (match === null) return undefined
  const [, first, last, size] = match
  const offset = Number(first)
  return { offset, length: Number(last) - offset + 1, sizeBytes: size === undefined ? undefined : Number(size) }
}
