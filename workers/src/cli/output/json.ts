/** JSON escapes only C0 by itself; C1 controls and direction marks can rewrite what a terminal shows as well. */
const unsafe = /[\x7f-\x9f\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu

/** One document for programs, indented for people; nothing in it can steer a terminal. */
export function jsonDocument(value: unknown): string {
  const text = JSON.stringify(value, undefined, 2)
  return `${text.replace(unsafe, (character) => character.split('').map(escapedUnit).join(''))}\n`
}

/** One UTF-16 unit, as JSON writes those outside the first plane as two. */
function escapedUnit(unit: string): string {
  return `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`
}
