import { registryDocumentBytesMax } from '../limits.ts'
import { boxKinds, boxOverheadBytes } from './box.ts'
import type { DocumentType } from './document.ts'
import type { RegistryFolder } from './names.ts'
import type { Fitting, Schema } from './schema.ts'

/**
 * A document that a tenant keeps in numbered versions; the highest number holds. docs/format.md, "Registry documents".
 * All of them are boxes of one kind: the name that a box is bound to says what it is, and so does the document.
 */
export interface RegistryType<S extends Schema> extends DocumentType<S> {
  readonly kind: typeof boxKinds.registry
  readonly folder: RegistryFolder
  /** The id that the document's name has to have. */
  readonly idOf: (document: Fitting<S>) => string
  /** Where it may have more than others. */
  readonly documentBytesMax?: number
}

/** What an object of such a document can have. */
export function registryObjectBytesMax({
  documentBytesMax = registryDocumentBytesMax,
}: {
  documentBytesMax?: number
}): number {
  return boxOverheadBytes + documentBytesMax
}
