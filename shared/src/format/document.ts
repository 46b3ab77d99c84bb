import { type Static, type TSchema, Type } from 'typebox'
import { Value } from 'typebox/value'
import { isUtf8 } from 'node:buffer'
import { StrataError } from '../errors.ts'
import { documentBytesMax, documentMisfitBytesMax, pointsPerSetMax } from '../limits.ts'
import { boxOverheadBytes, openBox, sealBox, type BoxKind, type IndexKeys } from './box.ts'
import { damaged } from './bytes.ts'

/**
 * Documents: JSON with a schema, sealed in a box whose context is the object's name. docs/format.md, "Documents".
 * A document states its own version; readers refuse a newer one and ignore members they do not know.
 */
export interface DocumentType<S extends TSchema> {
  readonly kind: BoxKind
  /** The document's own name of itself, its first member: `{"strata": "manifest", "version": 1, …}`. */
  readonly title: string
  readonly version: number
  readonly schema: S
}

/** What a document's object can have; for whoever fetches it. */
export const documentObjectBytesMax = boxOverheadBytes + documentBytesMax

export function documentHead<Title extends string, Version extends number>(title: Title, version: Version) {
  return { strata: Type.Literal(title), version: Type.Literal(version) }
}

export function encodeDocument<S extends TSchema>(
  type: DocumentType<S>,
  name: string,
  value: Static<S>,
  keys: IndexKeys,
  nonce: Uint8Array,
): Uint8Array<ArrayBuffer> {
  const text = Buffer.from(JSON.stringify(value), 'utf8')
  parseDocument(type, name, text)
  return sealBox(type.kind, name, text, keys, nonce)
}

export function decodeDocument<S extends TSchema>(
  type: DocumentType<S>,
  name: string,
  bytes: Uint8Array,
  keys: IndexKeys,
): Static<S> {
  if (bytes.length > documentObjectBytesMax) throw damaged(name, `a document of ${String(bytes.length)} bytes`)
  return parseDocument(type, name, openBox(type.kind, name, bytes, keys))
}

/** Reads and checks a document's JSON; also for documents that are not sealed. */
export function parseDocument<S extends TSchema>(
  type: Pick<DocumentType<S>, 'title' | 'version' | 'schema'>,
  name: string,
  text: Uint8Array,
): Static<S> {
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
  if (!Value.Check(type.schema, value)) throw damaged(name, misfit(type.schema, value, text.length))
  return value
}

/** Where a value does not fit. Every misfit is looked for before the first is told, and a long text can hold millions. */
function misfit(schema: TSchema, value: unknown, textBytes: number): string {
  const first = textBytes > documentMisfitBytesMax ? undefined : Value.Errors(schema, value)[0]
  return first === undefined ? 'does not fit its schema' : `${first.instancePath} ${first.message}`
}

// ── members that several documents share ───────────────────────────────────────────────────────────────────────────

export const idSchema = Type.String({ pattern: '^[0-9a-f]{32}$' })
export const digestHexSchema = Type.String({ pattern: '^[0-9a-f]{64}$' })
export const bytesSchema = Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER })
export const countSchema = Type.Integer({ minimum: 0, maximum: 2 ** 32 - 1 })
/** Sequence number of a point in its set. */
export const sequenceSchema = Type.Integer({ minimum: 1, maximum: pointsPerSetMax })
export const instantSchema = Type.String({
  pattern: '^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\\.[0-9]{3}Z$',
})
