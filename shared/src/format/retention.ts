import * as v from 'valibot'
import {
  noteCharsMax,
  retentionChainsMax,
  retentionDocumentBytesMax,
  retentionHoldsMax,
  retentionMarksMax,
} from '../limits.ts'
import { boxKinds } from './box.ts'
import { bytesSchema, documentHead, idSchema, instantSchema, sequenceSchema } from './document.ts'
import { numberRangesSchema } from './number-ranges.ts'
import type { RegistryType } from './registry-type.ts'
import { list, text, wholeNumber, type Fitting } from './schema.ts'

/**
 * The ledger of a set: what becomes of its points. Each version is the whole state after one change; the highest holds.
 * docs/format.md, "Retention"; docs/decisions/0021-retention.md.
 */
const holdMembers = { note: text({ charsMax: noteCharsMax }), since: instantSchema }

export const retentionSchema = v.object({
  ...documentHead('retention', 1),
  set: idSchema,
  /** By the store's clock. */
  changedAt: instantSchema,
  /** What this version changes and why, for people. */
  change: text({ charsMax: noteCharsMax }),
  /** Points that are to go. Nothing of them has been touched, and it can be undone. */
  marked: list(
    v.object({
      numbers: numberRangesSchema,
      since: instantSchema,
      /** Not before then they may be gone. */
      dueAt: instantSchema,
      why: text({ charsMax: noteCharsMax }),
    }),
    { max: retentionMarksMax },
  ),
  /** Points that are there no more, for good: nobody may read or build on them, and what only they need may be deleted. */
  gone: numberRangesSchema,
  /** Points that stay, whatever a policy says. */
  held: list(v.object({ sequence: sequenceSchema, ...holdMembers }), { max: retentionHoldsMax }),
  /** The whole set stays, and what will be backed up of it. */
  heldSet: v.nullable(v.object(holdMembers)),
  /**
   * Chains with points that are gone, as they were when the chain's objects were last looked through and tagged: how many
   * of its points, and how much those had stored.
   */
  collected: list(v.object({ chain: idSchema, gone: wholeNumber(1), goneBytes: bytesSchema, at: instantSchema }), {
    max: retentionChainsMax,
  }),
})
export type Retention = Fitting<typeof retentionSchema>

export const retentionType = {
  kind: boxKinds.registry,
  title: 'retention',
  version: 1,
  schema: retentionSchema,
  folder: 'retention',
  idOf: ({ set }) => set,
  documentBytesMax: retentionDocumentBytesMax,
} satisfies RegistryType<typeof retentionSchema>

/** A reader's note that it needs points of a set. It counts until it expires, and is renewed until then. */
export const pinSchema = v.object({
  ...documentHead('pin', 1),
  pin: idSchema,
  points: numberRangesSchema,
  /** What it is for, for people. */
  purpose: text({ charsMax: noteCharsMax }),
  /** Both by the store's clock. */
  madeAt: instantSchema,
  expiresAt: instantSchema,
})
export type Pin = Fitting<typeof pinSchema>

export const pinType = { kind: boxKinds.registry, title: 'pin', version: 1, schema: pinSchema } as const
