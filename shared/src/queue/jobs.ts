import { StrataError } from '../errors.ts'
import { idSchema } from '../format/document.ts'
import { misfit, type Fitting, type Schema, wholeNumber } from '../format/schema.ts'
import { segmentsPerSessionMax } from '../limits.ts'

/** What the contracts of all jobs share: a job's data is checked when it is taken, since a queue is no place of trust. */
export const jobPlace = { tenant: idSchema, set: idSchema, session: idSchema }

export function parseJob<S extends Schema>(name: string, schema: S, data: unknown): Fitting<S> {
  const problem = misfit(schema, data)
  if (problem !== undefined) throw new StrataError('E_BUG', `job ${name}: ${problem}`)
  return data
}

export const segmentNumberSchema = wholeNumber(0, segmentsPerSessionMax - 1)
