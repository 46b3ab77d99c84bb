import { StrataError } from '@strata/shared/errors.ts'
import { requireSetName } from '@strata/shared/set-name.ts'

/** POINT[:DISK], taken apart. */
export interface PointReference {
  /** As `findPoint` takes it: an id, its first characters, or `latest:SET`. */
  readonly point: string
  readonly disk: string | undefined
}

const idPattern = /^[0-9a-f]{6,32}$/
const latest = 'latest'

/** Reads `ID`, `ID:DISK`, `latest:SET` or `latest:SET:DISK`. Names of sets and disks have no ':'. E_USAGE, E_SET_NAME. */
export function parsePointReference(text: string): PointReference {
  const [head = '', ...rest] = text.split(':')
  const isLatest = head === latest
  if (isLatest && rest.length === 0) throw unreadable(text, "'latest' needs the name of a set: latest:SET")
  if (!isLatest && !idPattern.test(head)) {
    throw unreadable(text, 'a point is the id that strata points shows (6 characters or more of it), or latest:SET')
  }
  const point = isLatest ? `${latest}:${requireSetName(rest[0] ?? '')}` : head
  const [disk, ...more] = isLatest ? rest.slice(1) : rest
  if (more.length > 0 || disk === '') throw unreadable(text, 'after the point comes at most one :DISK')
  return { point, disk }
}

/** For commands that take a whole point. */
export function parseWholePoint(text: string): string {
  const { point, disk } = parsePointReference(text)
  if (disk !== undefined) throw unreadable(text, 'this command takes a whole point, without :DISK')
  return point
}

function unreadable(text: string, what: string): StrataError {
  return new StrataError('E_USAGE', `'${text}' is no POINT: ${what}`)
}
