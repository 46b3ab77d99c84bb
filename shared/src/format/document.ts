import * as v from 'valibot'
import { isUtf8 } from 'node:buffer'
import { invariant, StrataError } from '../errors.ts'
import { documentBytesMax, pointsPerSetMax } from '../limits.ts'
import { boxOverheadBytes, openBox, sealBox, type BoxKind, type IndexKeys } from './box.ts'
import { damaged } from './bytes.ts'
import { hexText, matching, misfit, wholeNumber, type Fitting, type Schema } from './schema.ts'

/**
 * Documents: JSON with a schema, sealed in a box whose context is the object's name. docs/format.md, "Documents".
 * A document states its own version; readers refuse a newer one and ignore members they do not know.
 */
export interface DocumentType<S extends Schema> {
  readonly kind: BoxKind
  /** The document's own name of itself, its first member: `{"strata": "manifest", "version": 1, …}`. */
  readonly title: string
  readonly version: number
  readonly schema: S
}

/** What a document's object can have; for whoever fetches it. */
export const documentObjectBytesMax = boxOverheadBytes + documentBytesMax

export function documentHead<Title extends string, Version extends number>(title: Title, version: Version) {
  return { strata: v.literal(title), version: v.literal(version) }
}

export function encodeDocument<S extends Schema>(
  type: DocumentType<S>,
  name: string,
  value: Fitting<S>,
  keys: IndexKeys,
  nonce: Uint8Array,
): Uint8Array<ArrayBuffer> {
  const text = Buffer.from(JSON.stringify(value), 'utf8')
  parseDocument(type, name, text)
  return sealBox(type.kind, name, text, keys, nonce)
}

export function decodeDocument<S extends Schema>(
  type: DocumentType<S>,
  name: string,
  bytes: Uint8Array,
  keys: IndexKeys,
): Fitting<S> {
  return parseDocument(type, name, openDocument(type.kind, name, bytes, keys))
}

/** For a name under which documents of two types may lie: each says itself which it is. Both are boxes of one kind. */
export function decodeEither<A extends Schema, B extends Schema>(
  type: DocumentType<A>,
  other: DocumentType<B>,
  name: string,
  bytes: Uint8Array,
  keys: IndexKeys,
): Fitting<A> | Fitting<B> {
  invariant(type.kind === other.kind, 'what lies under one name is of one kind')
  const value = parseJson(name, openDocument(type.kind, name, bytes, keys))
  return headOf(value)?.strata === other.title ? fitting(other, name, value) : fitting(type, name, value)
}

function openDocument(kind: BoxKind, name: string, bytes: Uint8Array, keys: IndexKeys): Uint8Array {
  if (bytes.length > documentObjectBytesMax) throw damaged(name, `a document of ${String(bytes.length)} bytes`)
  return openBox(kind, name, bytes, keys)
}

type PlainType<S extends Schema> = Pick<DocumentType<S>, 'title' | 'version' | 'schema'>

/** Reads and checks a document's JSON; also for documents that are not sealed. */
export function parseDocument<S extends Schema>(
  type: PlainType<S>,
  name: string,
  text: Uint8Array,
  bytesMax: number = documentBytesMax,
): Fitting<S> {
  return fitting(type, name, parseJson(name, text, bytesMax))
}

function parseJson(name: string, text: Uint8Array, bytesMax = documentBytesMax): unknown {
  if (text.length > bytesMax) {
    throw new StrataError(
      'E_LIMIT',
      `${name}: a document of ${String(text.length)} bytes; at most ${String(bytesMax)} fit`,
    )
  }
  // Else two texts that differ in their broken places would be one.
  if (!isUtf8(text)) throw damaged(name, 'is no UTF-8')
  try {
    return JSON.parse(Buffer.from(text).toString('utf8'))
  } catch (error) {
    throw new StrataError('E_FORMAT_DAMAGED', `${name}: is no JSON`, { cause: error })
  }
}

interface Head {
  readonly strata?: unknown
  readonly version?: unknown
}

function headOf(value: unknown): Head | undefined {
  return typeof value === 'object' && value !== null ? value : undefined
}

function fitting<S extends Schema>(type: PlainType<S>, name: string, value: unknown): Fitting<S> {
  const head = headOf(value)
  if (head?.strata !== type.title) {
    throw new StrataError('E_FORMAT_KIND', `${name}: is no ${type.title}`)
  }
  if (typeof head.version === 'number' && head.version > type.version) {
    throw new StrataError(
      'E_FORMAT_NEWER',
      `${name}: version ${String(head.version)}, and this program reads up to ${String(type.version)}`,
    )
  }
  const problem = misfit(type.schema, value)
  if (problem !== undefined) throw damaged(name, problem)
  return value
}

// ── members that several documents share ───────────────────────────────────────────────────────────────────────────

export const idSchema = hexText(16)
export const digestHexSchema = hexText(32)
export const bytesSchema = wholeNumber(0)
export const countSchema = wholeNumber(0, 2 ** 32 - 1)
/** Sequence number of a point in its set. */
export const sequenceSchema = wholeNumber(1, pointsPerSetMax)
/** No thirteenth month: who reads it reckons with it. */
export const instantSchema = matching(
  /^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]\.[0-9]{3}Z$/,
)
