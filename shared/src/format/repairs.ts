import * as v from 'valibot'
import { keysPerRootMax, repairDocumentBytesMax, repairObjectsMax, repairsPerChainMax } from '../limits.ts'
import { boxKinds } from './box.ts'
import { countSchema, documentHead, idSchema, instantSchema } from './document.ts'
import type { RegistryType } from './registry-type.ts'
import { chainObjectPattern } from './scrub.ts'
import { hexText, list, matching, wholeNumber, type Fitting } from './schema.ts'
import { wrappedDataKeyBytes } from './wrapped-key.ts'

/**
 * Records that stand for damaged ones of the same chain: a record is bound to its digest and data key and not to its place,
 * so a reader that cannot use one may take another with the same digest. Each version is the whole state; the highest
 * holds. docs/format.md, "Registry documents".
 */
export const repairsSchema = v.object({
  ...documentHead('repairs', 1),
  chain: idSchema,
  set: idSchema,
  changedAt: instantSchema,
  /** Packs that `records` names, below the chain. */
  objects: list(matching(chainObjectPattern), { max: repairObjectsMax }),
  /** Index of the pack and offset of a damaged record; index, offset and length of the one to be read for it. */
  records: list(
    v.tuple([
      wholeNumber(0, repairObjectsMax - 1),
      countSchema,
      wholeNumber(0, repairObjectsMax - 1),
      countSchema,
      countSchema,
    ]),
    { max: repairsPerChainMax },
  ),
  /** Wrapped data keys of the records to be read: roots of older points do not have them. */
  keys: list(hexText(wrappedDataKeyBytes), { max: keysPerRootMax }),
})
export type RepairsDocument = Fitting<typeof repairsSchema>

export const repairsType = {
  kind: boxKinds.registry,
  title: 'repairs',
  version: 1,
  schema: repairsSchema,
  folder: 'repairs',
  idOf: ({ chain }) => chain,
  documentBytesMax: repairDocumentBytesMax,
} satisfies RegistryType<typeof repairsSchema>
