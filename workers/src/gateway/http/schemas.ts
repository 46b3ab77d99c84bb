import { toJsonSchema } from '@valibot/to-json-schema'
import * as v from 'valibot'
import { StrataError } from '@strata/shared/errors.ts'
import type { Schema } from '@strata/shared/format/schema.ts'

/** Checks what came in, and gives it as the schema has it: numbers of a query as numbers, nothing that it does not name. */
export function checked(schema: Schema, where: string, value: unknown): unknown {
  const result = v.safeParse(schema, value, { abortEarly: true })
  if (result.success) return result.output
  const [issue] = result.issues
  // Never what was sent: it goes to a log, and comes from elsewhere.
  const place = v.getDotPath(issue)
  throw new StrataError(
    'E_REQUEST_INVALID',
    `${where}: ${place ?? 'the whole'} is not ${issue.expected ?? 'as it must be'}`,
  )
}

/** The schema for the OpenAPI document. What JSON Schema cannot say (a text's length in code points) is left out. */
export function jsonSchemaOf(schema: Schema): object {
  const { $schema: _, ...rest } = toJsonSchema(schema, { errorMode: 'ignore', typeMode: 'input' })
  return rest
}
