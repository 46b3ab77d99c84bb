import * as v from 'valibot'
import { noteCharsMax, usageClassesMax, usageSetsMax } from '../limits.ts'
import { boxKinds } from './box.ts'
import { bytesSchema, countSchema, documentHead, idSchema, instantSchema } from './document.ts'
import { dayPattern } from './names.ts'
import { list, matching, text, wholeNumber, type Fitting } from './schema.ts'

/** What a store's owner pays for one by one. */
export const requestKinds = ['put', 'copy', 'get', 'head', 'list', 'tag', 'lock', 'delete'] as const
export type RequestKind = (typeof requestKinds)[number]

export function noRequests(): Record<RequestKind, number> {
  return { put: 0, copy: 0, get: 0, head: 0, list: 0, tag: 0, lock: 0, delete: 0 }
}

const count = v.optional(countSchema)

/** What lay in the store at a moment. */
const storedSchema = v.object({
  at: instantSchema,
  /** By the class of storage; those that have nothing are left out. */
  classes: list(v.object({ class: matching(/^[a-z-]{1,32}$/), objects: countSchema, bytes: bytesSchema }), {
    max: usageClassesMax,
  }),
})
export type StoredNote = Fitting<typeof storedSchema>

/**
 * What one process has asked of the store for one tenant on one day; written again as the day goes on. docs/format.md,
 * "Usage".
 */
export const usageSchema = v.object({
  ...documentHead('usage', 1),
  day: matching(dayPattern),
  process: idSchema,
  /** There are several where one would be too long. */
  part: wholeNumber(0, 9999),
  /** Which program it was, for people. */
  by: text({ charsMax: noteCharsMax }),
  /** By the clock of the process. */
  writtenAt: instantSchema,
  sets: list(
    v.object({
      /** null: what is about no set, or about several at once. */
      set: v.nullable(idSchema),
      /** By kind; left out: none. Each try counts, also one that failed. */
      requests: v.object({
        put: count,
        copy: count,
        get: count,
        head: count,
        list: count,
        tag: count,
        lock: count,
        delete: count,
      }),
      bytesSent: bytesSchema,
      bytesReceived: bytesSchema,
      stored: v.optional(storedSchema),
    }),
    { max: usageSetsMax },
  ),
})
export type UsageDocument = Fitting<typeof usageSchema>
export type UsageEntry = UsageDocument['sets'][number]

export const usageType = { kind: boxKinds.registry, title: 'usage', version: 1, schema: usageSchema } as const
