import * as v from 'valibot'
import { isUtf8 } from 'node:buffer'
import { StrataError } from '../errors.ts'
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
  if (bytes.length > documentObjectBytesMax) throw damaged(name, `a document of ${String(bytes.length)} bytes`)
  return parseDocument(type, name, openBox(type.kind, name, bytes, keys))
}

/** Reads and checks a document's JSON; also for documents that are not sealed. */
export function parseDocument<S extends Schema>(
  type: Pick<DocumentType<S>, 'title' | 'version' | 'schema'>,
  name: string,
  text: Uint8Array,
): Fitting<S> {
  if (text.length > documentBytesMax) {
    throw new StrataError(
      'E_LIMIT',
      `${name}: a document of ${String(text.length)} bytes; at most ${String(documentBytesMax)} fit`,
    )
  }
  // Else two texts that differ in their broken places would be one.
  if (!isUtf8(text)) throw damaged(name, 'is no UTF-8')
  let value: unknown
  try {
    value = JSON.parse(Buffer.from(text).toString('utf8'))
  } catch (error) {
    throw new StrataError('E_FORMAT_DAMAGED', `${name}: is no JSON`, { cause: error })
  }
  const head = value as { strata?: unknown; version?: unknown } | null
  if (typeof head !== 'object' || head?.strata !== type.title) {
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
export const instantSchema = matching(/^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}Z$/)
