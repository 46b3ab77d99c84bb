import type { StrataError } from '@strata/shared/errors.ts'
import type { RetainedPoint } from '@strata/shared/policy/retention.ts'
import { momentOf } from '@strata/shared/repository/moment.ts'
import { isReadable, isVoid, listPoints, pointId, type Point } from '@strata/shared/repository/points.ts'
import type { Repository } from '@strata/shared/repository/repository.ts'
import type { SetId } from '@strata/shared/types.ts'

/** What decisions about a set are made of: little of each point, since a set may have many thousands. */
export interface SetPoints {
  /** By number, as all here. */
  readonly points: readonly (RetainedPoint & { readonly createdAt: string })[]
  /** Whatever they are, they are kept: nobody can tell what they hold. */
  readonly unreadable: readonly { readonly sequence: number; readonly error: StrataError }[]
  /** Numbers without a point. */
  readonly voids: readonly number[]
}

/** One LIST, and one GET for each number of the set. */
export async function readSetPoints(
  repository: Repository,
  set: SetId,
  onEntry: () => void = () => undefined,
): Promise<SetPoints> {
  const [points, unreadable, voids]: [SetPoints['points'][number][], SetPoints['unreadable'][number][], number[]] = [
    [],
    [],
    [],
  ]
  for await (const entry of listPoints(repository, set)) {
    onEntry()
    if (isReadable(entry)) points.push(retained(entry))
    else if (isVoid(entry)) voids.push(entry.sequence)
    else unreadable.push({ sequence: entry.sequence, error: entry.error })
  }
  return { points, unreadable, voids }
}

function retained(point: Point): SetPoints['points'][number] {
  const { atMs, isCopy } = momentOf(point.manifest)
  const { consistency, createdAt } = point.manifest
  const state = consistency === 'changing' ? 'changing' : 'complete'
  return { id: pointId(point), sequence: point.sequence, momentMs: atMs, isCopy, state, createdAt }
}
