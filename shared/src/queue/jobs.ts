import { type Static, type TSchema, Type } from 'typebox'
import { Value } from 'typebox/value'
import { StrataError } from '../errors.ts'
import { idSchema } from '../format/document.ts'
import { segmentsPerSessionMax } from '../limits.ts'

/** What the contracts of all jobs share: a job's data is checked when it is taken, since a queue is no place of trust. */
export const jobPlace = { tenant: idSchema, set: idSchema, session: idSchema }

export function parseJob<S extends TSchema>(name: string, schema: S, data: unknown): Static<S> {
  if (!Value.Check(schema, data)) {
    const first = Value.Errors(schema, data)[0]
    throw new StrataError(
      'E_BUG',
      `job ${name}: ${first?.instancePath ?? ''} ${first?.message ?? 'does not fit its contract'}`,
    )
  }
  return data
}

export const segmentNumberSchema = Type.Integer({ minimum: 0, maximum: segmentsPerSessionMax - 1 })
