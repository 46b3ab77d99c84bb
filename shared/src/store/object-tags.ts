import { invariant } from '../errors.ts'
import { objectTagCharsMax, objectTagsMax } from '../limits.ts'

export type ObjectTags = Readonly<Record<string, string>>

const wordPattern = /^[a-z0-9-]+$/

/** Tags are words of our own, so that they mean the same in every store and in its rules. */
export function checkTags(tags: ObjectTags): void {
  invariant(isTags(tags), 'tags are a few words of [a-z0-9-]')
}

export function isTags(value: unknown): value is ObjectTags {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false
  const entries: [string, unknown][] = Object.entries(value)
  return entries.length <= objectTagsMax && entries.flat().every(isWord)
}

function isWord(word: unknown): boolean {
  return typeof word === 'string' && word.length <= objectTagCharsMax && wordPattern.test(word)
}
