import type { ProfilePoint, SetProfile } from '@strata/shared/cost/foreseen-set.ts'
import type { StoredNote } from '@strata/shared/format/usage.ts'
import { objectBytesAssumed, profiledIncrementsMax } from '@strata/shared/limits.ts'
import type { Repository } from '@strata/shared/repository/repository.ts'
import { isGone, markOf, RetentionLedger } from '@strata/shared/repository/retention/ledger.ts'
import type { SetId } from '@strata/shared/types.ts'
import { holdsOf } from '../retention/plan-set.ts'
import { readSetPoints, type SetPoint } from '../retention/set-points.ts'

/** Fulls and increments of a set as they were lately, for a forecast; undefined: it has no points. */
export async function setProfile(
  repository: Repository,
  set: SetId,
  stored: StoredNote | undefined,
): Promise<SetProfile | undefined> {
  const { points, setName } = await readSetPoints(repository, set)
  const { state } = await new RetentionLedger(repository).read(set)
  const objectBytes = meanObjectBytes(stored)
  const { fulls, increments } = byKind(points)
  const full = fulls.at(-1)
  if (full === undefined) return undefined
  return {
    name: setName ?? set,
    points: points.map((point): ProfilePoint => {
      const mark = markOf(state, point.sequence)
      return {
        ...point,
        objects: Math.max(1, Math.ceil(point.storedBytes / objectBytes)),
        isGone: isGone(state, point.sequence),
        dueMs: mark === undefined ? undefined : Date.parse(mark.dueAt),
      }
    }),
    holds: holdsOf(state),
    fullBytes: full.storedBytes,
    incrementBytes: mean(increments.slice(-profiledIncrementsMax).map(({ storedBytes }) => storedBytes)),
    objectBytes,
  }
}

/** The first point of a chain that is there is its full. */
function byKind(points: readonly SetPoint[]): { readonly fulls: SetPoint[]; readonly increments: SetPoint[] } {
  const chains = new Set<string>()
  const fulls: SetPoint[] = []
  const increments: SetPoint[] = []
  for (const point of points) {
    if (chains.has(point.chain)) increments.push(point)
    else fulls.push(point)
    chains.add(point.chain)
  }
  return { fulls, increments }
}

function meanObjectBytes(stored: StoredNote | undefined): number {
  const classes = stored?.classes ?? []
  const objects = classes.reduce((sum, one) => sum + one.objects, 0)
  const bytes = classes.reduce((sum, one) => sum + one.bytes, 0)
  return objects === 0 || bytes === 0 ? objectBytesAssumed : bytes / objects
}

function mean(values: readonly number[]): number {
  return values.length === 0 ? 0 : values.reduce((sum, value) => sum + value, 0) / values.length
}
