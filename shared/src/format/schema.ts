import * as v from 'valibot'

/** The forms that members of documents and jobs have. Members that a schema does not name are ignored, and kept. */
export type Schema = v.GenericSchema
export type Fitting<S extends Schema> = v.InferOutput<S>

/** Says where a value does not fit first; undefined: it fits. Never repeats what is there: it comes from elsewhere. */
export function misfit(schema: Schema, value: unknown): string | undefined {
  const result = v.safeParse(schema, value, { abortEarly: true })
  if (result.success) return undefined
  const [issue] = result.issues
  const place = v.getDotPath(issue)
  // Valibot expects the name of a member that is not there.
  if (issue.kind === 'schema' && issue.type === 'object' && issue.input === undefined && place !== null) {
    return `${place} is missing`
  }
  return `${place ?? 'the whole'} is not ${issue.expected ?? issue.message}`
}

/** An object whose members may all be absent: unlike `v.object`, no array. */
export const optionalMembers = <E extends v.ObjectEntries>(entries: E) =>
  v.pipe(
    v.custom<v.InferInput<v.ObjectSchema<E, undefined>>>((value) => !Array.isArray(value), 'an object'),
    v.object(entries),
  )

export const wholeNumber = (min: number, max: number = Number.MAX_SAFE_INTEGER) =>
  v.pipe(v.number(), v.integer(), v.minValue(min), v.maxValue(max))

/** Characters are Unicode code points. */
export const text = ({ charsMin = 0, charsMax }: { readonly charsMin?: number; readonly charsMax: number }) =>
  v.pipe(
    v.string(),
    v.check(
      (value) => value.length >= charsMin && isWithin(value, charsMax),
      `a text of ${String(charsMin)} to ${String(charsMax)} characters`,
    ),
  )

const unitsPerCharMax = 2

function isWithin(value: string, charsMax: number): boolean {
  if (value.length <= charsMax) return true
  return value.length <= unitsPerCharMax * charsMax && Array.from(value).length <= charsMax
}

export const matching = (pattern: RegExp) => v.pipe(v.string(), v.regex(pattern))

/** Bytes in lower case: hex has one spelling. */
export const hexText = (byteCount: number) => matching(new RegExp(`^[0-9a-f]{${String(2 * byteCount)}}$`))

export const list = <S extends Schema>(item: S, { min = 0, max }: { readonly min?: number; readonly max: number }) =>
  v.pipe(v.array(item), v.minLength(min), v.maxLength(max))
