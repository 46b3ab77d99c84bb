import type { StrataError } from '@strata/shared/errors.ts'
import type { ChainPoint } from '@strata/shared/policy/chain-due.ts'
import { pointLockEndMs } from '@strata/shared/policy/chain-lock.ts'
import type { RetainedPoint } from '@strata/shared/policy/retention.ts'
import { listCatalogued } from '@strata/shared/repository/catalog/read-catalog.ts'
import { isReadable, isVoid, momentOf, pointId, type Point } from '@strata/shared/repository/points.ts'
import type { Repository } from '@strata/shared/repository/repository.ts'
import type { SetId } from '@strata/shared/types.ts'

/** Little of a point: a set may have many thousands. */
export interface SetPoint extends RetainedPoint, ChainPoint {}

/** What decisions about a set are made of. */
export interface SetPoints {
  /** By number, as all here; those that are gone as well. */
  readonly points: readonly SetPoint[]
  /** Whatever they are, they are kept: nobody can tell what they hold. */
  readonly unreadable: readonly { readonly sequence: number; readonly error: StrataError }[]
  /** Numbers without a point. */
  readonly voids: readonly number[]
  readonly setName: string | undefined
}

/** Two listings, and few requests more: the catalogue tells of most numbers. */
export async function readSetPoints(
  repository: Repository,
  set: SetId,
  onEntry: () => void = () => undefined,
): Promise<SetPoints> {
  const points: SetPoint[] = []
  const unreadable: SetPoints['unreadable'][number][] = []
  const voids: number[] = []
  let setName: string | undefined
  for await (const entry of listCatalogued(repository, set)) {
    onEntry()
    if (isReadable(entry)) {
      points.push(setPoint(entry))
      setName ??= entry.manifest.setName
    } else if (isVoid(entry)) voids.push(entry.sequence)
    else unreadable.push({ sequence: entry.sequence, error: entry.error })
  }
  return { points, unreadable, voids, setName }
}

export function setPoint(point: Point): SetPoint {
  const { consistency, createdAt, copyOf, chain, statistics, lock, warnings } = point.manifest
  return {
    id: pointId(point),
    sequence: point.sequence,
    momentMs: Date.parse(momentOf(point.manifest)),
    isCopy: copyOf !== undefined,
    state: consistency === 'changing' ? 'changing' : 'complete',
    createdAt,
    chain,
    storedBytes: statistics.storedBytes,
    ...(lock === undefined ? {} : { lockedUntilMs: pointLockEndMs(lock, createdAt) }),
    lock,
    isNotLocked: warnings.some(({ code }) => code === 'W_NOT_LOCKED'),
  }
}
