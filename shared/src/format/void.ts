import * as v from 'valibot'
import { boxKinds } from './box.ts'
import {
  digestHexSchema,
  documentHead,
  idSchema,
  instantSchema,
  sequenceSchema,
  type DocumentType,
} from './document.ts'
import type { Fitting } from './schema.ts'

/**
 * A void: lies under a manifest's name where a session is over without a point, so that no commit of that session that
 * wakes up late can take a number any more. Created if absent, and never changed. docs/format.md, "Voids".
 */
export const voidSchema = v.object({
  ...documentHead('void', 1),
  /** The session that was given up. */
  session: idSchema,
  sequence: sequenceSchema,
  /** As in a manifest: SHA-256 of the object with the number before this one; null for the first of a set. */
  previous: v.nullable(digestHexSchema),
  /** By the store's clock, when the void was about to be written. */
  createdAt: instantSchema,
})
export type Void = Fitting<typeof voidSchema>

/** A box of the same kind as a manifest, since it lies under the same name: the document says which it is. */
export const voidType = {
  kind: boxKinds.manifest,
  title: 'void',
  version: 1,
  schema: voidSchema,
} satisfies DocumentType<typeof voidSchema>
