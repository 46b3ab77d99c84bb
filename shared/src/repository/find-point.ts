import { StrataError } from '../errors.ts'
import { listCatalogued } from './catalog/read-catalog.ts'
import { isReadable, isUnreadable, latestPoint, type Point } from './points.ts'
import type { Repository } from './repository.ts'

const latestPrefix = 'latest:'
const idFragment = /^[0-9a-f]{6,32}$/

/** Finds a point by `latest:SET`, by its id, or by the first characters (6 or more) of its id. */
export async function findPoint(repository: Repository, reference: string): Promise<Point> {
  if (reference.startsWith(latestPrefix)) {
    const name = reference.slice(latestPrefix.length)
    const latest = await latestPoint(repository, repository.setIdOf(name))
    if (latest === undefined) throw new StrataError('E_SET_UNKNOWN', `there is no point of a set '${name}'`)
    return latest
  }
  if (!idFragment.test(reference)) {
    throw new StrataError('E_POINT_UNKNOWN', `'${reference}' is neither a point's id nor latest:SET`)
  }
  const found: Point[] = []
  const unreadable: StrataError[] = []
  for await (const entry of listCatalogued(repository)) {
    if (isUnreadable(entry)) unreadable.push(entry.error)
    else if (isReadable(entry) && entry.manifest.point.startsWith(reference)) found.push(entry)
  }
  const [point, another] = found
  if (point === undefined) throw unknownPoint(reference, unreadable)
  if (another !== undefined) {
    throw new StrataError('E_POINT_AMBIGUOUS', `${String(found.length)} points begin with '${reference}'`, {
      details: { points: found.map(({ manifest }) => manifest.point) },
    })
  }
  return point
}

/** A manifest that cannot be read does not tell its point's id: it may be the one that is looked for. */
function unknownPoint(reference: string, unreadable: readonly StrataError[]): StrataError {
  const [first] = unreadable
  if (first === undefined) return new StrataError('E_POINT_UNKNOWN', `there is no point '${reference}'`)
  const message = `no point that can be read is '${reference}', and ${String(unreadable.length)} cannot be read: ${first.message}`
  return new StrataError(first.code, message, { cause: first })
}
