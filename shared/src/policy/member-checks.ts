import * as v from 'valibot'
import { durationFrom, durationText } from './duration.ts'

/**
 * The forms that members of a policy have. A message says what is wrong and what to write instead; it begins with a verb,
 * and the place of the member is put before it.
 */

/** A text that `problem` has nothing against. */
export function checked(problem: (text: string) => string | undefined) {
  return v.pipe(
    v.string('is no text; write it in quotes'),
    v.rawCheck(({ dataset, addIssue }) => {
      const message = dataset.typed ? problem(dataset.value) : undefined
      if (message !== undefined) addIssue({ message })
    }),
  )
}

export function wholeNumberFrom(min: number, max: number) {
  return v.custom<number>(
    (value) => Number.isInteger(value) && Number(value) >= min && Number(value) <= max,
    `is no whole number from ${String(min)} to ${String(max)}; write one`,
  )
}

export function oneOf<const Names extends readonly string[]>(names: Names) {
  const all = names.length === 2 ? `neither ${names.join(' nor ')}` : `none of ${names.join(', ')}`
  return v.picklist(names, `is ${all}; write one of them`)
}

/** An object whose members are all checked by themselves. */
export function section<E extends v.ObjectEntries>(entries: E) {
  return v.pipe(
    v.custom<v.InferInput<v.ObjectSchema<E, undefined>>>(
      (value) => typeof value === 'object' && value !== null && !Array.isArray(value),
      `is no object; write one with members such as ${Object.keys(entries).slice(0, examplesShown).join(', ')}`,
    ),
    v.object(entries),
  )
}

const examplesShown = 3

export function listOf<S extends v.GenericSchema>(item: S, countMax: number) {
  return v.pipe(
    v.array(item, 'is no list; write one in [ ]'),
    v.minLength(1, 'is empty; write something into it, or leave it out'),
    v.maxLength(countMax, `has more than ${String(countMax)} entries; write fewer`),
  )
}

export function checkDuration(text: string, minMs: number, maxMs: number, example: string): string | undefined {
  const ms = durationFrom(text)
  if (ms === undefined) return `is no duration; write a number with m, h or d, such as '${example}'`
  if (ms >= minMs && ms <= maxMs) return undefined
  const least = minMs === 0 ? '' : `at least ${durationText(minMs)} and `
  return `is not within its bounds; write ${least}at most ${durationText(maxMs)}`
}

/** A member of what was not checked yet. */
export function member(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>)[name] : undefined
}
