import { StrataError, type ErrorCode } from '../../errors.ts'
import type { Fitting, Schema } from '../../format/schema.ts'
import type { Id } from '../../types.ts'
import type { Versioned, VersionedDocuments } from './versioned.ts'

const idFragment = /^[0-9a-f]{6,32}$/

/** What is looked for, in the words of messages. */
export interface Sought {
  readonly what: string
  readonly unknown: ErrorCode
}

/** Finds a document by its id or the first characters (6 or more) of it. Several: E_ID_AMBIGUOUS. */
export async function findDocument<S extends Schema>(
  documents: VersionedDocuments<S>,
  reference: string,
  { what, unknown }: Sought,
): Promise<Versioned<Fitting<S>>> {
  const ids: Id[] = []
  if (idFragment.test(reference)) {
    for await (const { id } of documents.newestVersions(reference)) ids.push(id)
  }
  const [id, another] = ids
  if (another !== undefined) {
    throw new StrataError('E_ID_AMBIGUOUS', `${String(ids.length)} ids of ${what}s begin with '${reference}'`, {
      details: { ids },
    })
  }
  const found = id === undefined ? undefined : await documents.latest(id)
  if (found === undefined) throw new StrataError(unknown, `there is no ${what} '${reference}'`)
  return found
}
