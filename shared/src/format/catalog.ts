import { constants, zstdCompressSync, zstdDecompressSync } from 'node:zlib'
import * as v from 'valibot'
import { hasCode, invariant, StrataError } from '../errors.ts'
import { catalogEntryBytesMax, catalogGroups, catalogSegmentBytesMax, pointsPerSetMax } from '../limits.ts'
import { boxKinds, boxOverheadBytes, openBox, sealBox, type IndexKeys } from './box.ts'
import { damaged } from './bytes.ts'
import { digestHexSchema, documentHead, idSchema, parseDocument } from './document.ts'
import { manifestSchema } from './manifest.ts'
import { list, wholeNumber, type Fitting } from './schema.ts'
import { voidSchema } from './void.ts'

/**
 * A segment of a set's catalogue: what a whole group of numbers has under it, in one object. It says nothing that the
 * manifests do not say: whoever has none reads those. docs/format.md, "Catalogue".
 */
const groupsMax = catalogGroups[catalogGroups.length - 1] ?? 0

const catalogSchema = v.object({
  ...documentHead('catalog', 1),
  set: idSchema,
  last: wholeNumber(1, pointsPerSetMax),
  /** By ascending number. One that would take too much room is left out. */
  entries: list(v.object({ digest: digestHexSchema, document: v.union([manifestSchema, voidSchema]) }), {
    max: groupsMax,
  }),
})
export type CatalogSegment = Fitting<typeof catalogSchema>
export type CatalogEntry = CatalogSegment['entries'][number]

const catalogType = { title: 'catalog', version: 1, schema: catalogSchema } as const
const compression = { params: { [constants.ZSTD_c_compressionLevel]: 3 } }
/** Of the object as it is stored. */
export const catalogObjectBytesMax = boxOverheadBytes + catalogSegmentBytesMax

invariant(
  groupsMax * (catalogEntryBytesMax + 100) < catalogSegmentBytesMax,
  'a segment has room for every entry that is not left out',
)

/** Whether a manifest, or void, is small enough to be in a segment. */
export function fitsCatalog(document: CatalogEntry['document']): boolean {
  return Buffer.byteLength(JSON.stringify(document), 'utf8') <= catalogEntryBytesMax
}

export function encodeCatalog(
  name: string,
  segment: CatalogSegment,
  keys: IndexKeys,
  nonce: Uint8Array,
): Uint8Array<ArrayBuffer> {
  const compressed = zstdCompressSync(Buffer.from(JSON.stringify(segment), 'utf8'), compression)
  const bytes = sealBox(boxKinds.catalog, name, compressed, keys, nonce)
  invariant(decodeCatalog(name, bytes, keys).entries.length === segment.entries.length, 'a segment reads as written')
  return bytes
}

export function decodeCatalog(name: string, bytes: Uint8Array, keys: IndexKeys): CatalogSegment {
  const compressed = openBox(boxKinds.catalog, name, bytes, keys)
  return parseDocument(catalogType, name, decompressed(name, compressed), catalogSegmentBytesMax)
}

function decompressed(name: string, compressed: Uint8Array): Uint8Array {
  try {
    return zstdDecompressSync(compressed, { maxOutputLength: catalogSegmentBytesMax })
  } catch (error) {
    if (hasCode(error, 'E_BUG')) throw error
    throw new StrataError('E_FORMAT_DAMAGED', `${name}: is no Zstandard frame of a catalogue`, { cause: error })
  }
}

/** Numbers ascend, and lie in the group that the name says. */
export function requireGroup(name: string, { entries }: CatalogSegment, first: number, last: number): void {
  let before = first - 1
  for (const { document } of entries) {
    if (document.sequence <= before || document.sequence > last) throw damaged(name, 'has numbers of another group')
    before = document.sequence
  }
}
