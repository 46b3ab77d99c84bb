import * as v from 'valibot'
import {
  disksPerSetMax,
  noteCharsMax,
  pointsPerSetMax,
  scrubDamageMax,
  scrubDeepMax,
  scrubDocumentBytesMax,
  scrubHitsMax,
  scrubPastMax,
  warningCharsMax,
} from '../limits.ts'
import { boxKinds } from './box.ts'
import { bytesSchema, countSchema, documentHead, idSchema, instantSchema } from './document.ts'
import { numberRangesSchema } from './number-ranges.ts'
import type { RegistryType } from './registry-type.ts'
import { list, matching, text, wholeNumber, type Fitting } from './schema.ts'

/**
 * The scrub ledger of a set: how far its objects have been read, what was found to be damaged, and how it stands with
 * that. Each version is the whole state after one change; the highest holds. docs/format.md, "Registry documents";
 * docs/decisions/0024-verification.md.
 */

/** Name of a pack or page pack below its chain. */
export const chainObjectPattern = /^[0-9a-f]{32}\/(data|map)-[0-9]{8}-[0-9a-f]{16}$/

const code = matching(/^E_[A-Z_]{1,60}$/)

/** Which bytes of which object. */
const placeMembers = {
  chain: idSchema,
  object: matching(chainObjectPattern),
  offset: countSchema,
  length: countSchema,
  code,
}

const damageSchema = v.object({
  ...placeMembers,
  message: text({ charsMax: warningCharsMax }),
  foundAt: instantSchema,
  /** `deep`: the bytes are those that were written, and yet do not open; only whoever has the private key sees it. */
  by: v.picklist(['scrub', 'deep']),
  /** Every point that is hit. */
  points: numberRangesSchema,
  /** Which blocks, and of which points each; the first ones where there are too many, as `truncated` says. */
  hits: list(
    v.object({
      disk: wholeNumber(0, disksPerSetMax - 1),
      block: countSchema,
      blocks: wholeNumber(1),
      points: numberRangesSchema,
    }),
    { max: scrubHitsMax },
  ),
  truncated: v.boolean(),
})
export type ScrubDamage = Fitting<typeof damageSchema>

export const scrubSchema = v.object({
  ...documentHead('scrub', 1),
  set: idSchema,
  /** By the store's clock. */
  changedAt: instantSchema,
  /** What this version changes, for people. */
  change: text({ charsMax: noteCharsMax }),
  /** Each object is read once in this time, at a moment that its name gives. */
  periodMs: wholeNumber(1),
  /** Since when it is that long. */
  since: instantSchema,
  /** Nothing was last read, or written, before this when that began. */
  oldestBefore: instantSchema,
  /** All whose moment came before this was read. */
  coveredUntil: instantSchema,
  /** Points up to this number had all their objects read when they were new. */
  takenIn: wholeNumber(0, pointsPerSetMax),
  /** Of the point after them, all objects up to this one, by name; null: none yet. */
  takenInTo: v.nullable(matching(chainObjectPattern)),
  /** When the objects that a map refers to were last compared with those that are there; null: never. */
  walkedAt: v.nullable(instantSchema),
  damage: list(damageSchema, { max: scrubDamageMax }),
  /** Whether there is more damage than the list has room for. */
  damageTruncated: v.boolean(),
  /** Damage that is there no more, the newest last; bounded. */
  past: list(
    v.object({
      ...placeMembers,
      foundAt: instantSchema,
      endedAt: instantSchema,
      /** `healed`: other records took the place of the damaged ones. `restored`: the bytes are right again. `unneeded`: no point that is there refers to it any more. */
      how: v.picklist(['healed', 'restored', 'unneeded']),
      points: numberRangesSchema,
    }),
    { max: scrubPastMax },
  ),
  /** Verifications with the private key, the newest last; bounded. */
  deep: list(
    v.object({
      at: instantSchema,
      /** The machine that did it. */
      by: text({ charsMax: noteCharsMax }),
      points: numberRangesSchema,
      state: v.picklist(['intact', 'damaged']),
      checkedBytes: bytesSchema,
    }),
    { max: scrubDeepMax },
  ),
})
export type Scrub = Fitting<typeof scrubSchema>

export const scrubType = {
  kind: boxKinds.registry,
  title: 'scrub',
  version: 1,
  schema: scrubSchema,
  folder: 'scrub',
  idOf: ({ set }) => set,
  documentBytesMax: scrubDocumentBytesMax,
} satisfies RegistryType<typeof scrubSchema>
