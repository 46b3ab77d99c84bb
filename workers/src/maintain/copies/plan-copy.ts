import { StrataError } from '@strata/shared/errors.ts'
import type { Retention } from '@strata/shared/policy/retention-rules.ts'
import { decideRetention } from '@strata/shared/policy/retention.ts'
import { listCatalogued } from '@strata/shared/repository/catalog/read-catalog.ts'
import { isReadable, isUnreadable } from '@strata/shared/repository/points.ts'
import type { Repository } from '@strata/shared/repository/repository.ts'
import { isGone, RetentionLedger, type RetentionState } from '@strata/shared/repository/retention/ledger.ts'
import { isThere } from '@strata/shared/repository/retention/pins.ts'
import type { SetId } from '@strata/shared/types.ts'
import { holdsOf } from '../retention/plan-set.ts'
import { setPoint, type SetPoint } from '../retention/set-points.ts'

/** A number of a set, as one of the two stores has it. */
export interface KnownNumber {
  readonly sequence: number
  /** SHA-256 of the object; undefined where it cannot be read. */
  readonly digest: string | undefined
  /** undefined: it is a void, or cannot be read. */
  readonly point: SetPoint | undefined
  readonly error: StrataError | undefined
}

/** A number that the copy does not have yet. */
export interface MissingNumber extends KnownNumber {
  /** Its data is to be there, too. Of all other points only the manifest is, as of points that are gone. */
  readonly isWanted: boolean
}

export interface SetCopyPlan {
  readonly setName: string | undefined
  /** By ascending number. */
  readonly missing: readonly MissingNumber[]
  /** Points of the copy. */
  readonly inTarget: readonly SetPoint[]
  /** Of those, the ones that are there: they are whole, and can be pinned. */
  readonly thereInTarget: ReadonlySet<number>
  /** Points that are there in the source. */
  readonly thereInSource: ReadonlySet<number>
  /** Numbers of the copy that cannot be read in it. */
  readonly unreadable: readonly { readonly sequence: number; readonly error: StrataError }[]
}

export interface PlanCopyOptions {
  readonly source: Repository
  readonly target: Repository
  readonly set: SetId
  /** What is kept in the copy; undefined: all that is there in the source. */
  readonly retention: Retention | undefined
  /** Points that are known to be damaged in the source, and may be mended: nothing else is decided by them. */
  readonly damaged: ReadonlySet<number>
  /** By the clock that is the furthest behind, and by the one that is the furthest ahead. */
  readonly nowMs: number
  readonly latestMs: number
}

/** Errors: E_COPY_DIFFERS, when the copy has what the source does not have. */
export async function planCopy(options: PlanCopyOptions): Promise<SetCopyPlan> {
  const { source, target, set, damaged, latestMs } = options
  const { state: targetState } = await new RetentionLedger(target).read(set)
  const there = await numbersOf(target, set)
  const { state: sourceState } = await new RetentionLedger(source).read(set)
  const here = await numbersOf(source, set)
  requireOneHistory(target, here.numbers, there.numbers)
  const missing = [...here.numbers.values()].filter(({ sequence }) => !there.numbers.has(sequence))
  const inTarget = [...there.numbers.values()].flatMap(({ point }) => (point === undefined ? [] : [point]))
  const inSource = [...here.numbers.values()].flatMap(({ point }) => (point === undefined ? [] : [point]))
  const thereInTarget = inTarget.filter(({ sequence }) => isThere(targetState, sequence, latestMs))
  const thereInSource = inSource.filter(({ sequence }) => isThere(sourceState, sequence, latestMs))
  const canBeCopied = thereInSource.filter(
    ({ sequence }) => !there.numbers.has(sequence) && !isGone(targetState, sequence),
  )
  const undamaged = canBeCopied.filter(({ sequence }) => !damaged.has(sequence))
  const kept = keptOf(options, targetState, [...thereInTarget, ...undamaged])
  const wanted = numbers(canBeCopied.filter(({ sequence }) => kept.has(sequence) || damaged.has(sequence)))
  return {
    setName: here.setName,
    missing: missing.map((number) => ({ ...number, isWanted: wanted.has(number.sequence) })),
    inTarget,
    thereInTarget: numbers(thereInTarget),
    thereInSource: numbers(thereInSource),
    unreadable: [...there.numbers.values()].flatMap(({ sequence, error }) =>
      error === undefined ? [] : [{ sequence, error }],
    ),
  }
}

function keptOf(
  { retention, nowMs }: PlanCopyOptions,
  state: RetentionState,
  points: readonly SetPoint[],
): ReadonlySet<number> {
  if (retention === undefined) return numbers(points)
  const decisions = decideRetention(points, holdsOf(state), retention, nowMs)
  return numbers(decisions.filter(({ keep }) => keep).map(({ point }) => point))
}

function numbers(points: readonly SetPoint[]): ReadonlySet<number> {
  return new Set(points.map(({ sequence }) => sequence))
}

/** By ascending number. */
async function numbersOf(
  repository: Repository,
  set: SetId,
): Promise<{ numbers: Map<number, KnownNumber>; setName: string | undefined }> {
  const numbersThere = new Map<number, KnownNumber>()
  let setName: string | undefined
  for await (const entry of listCatalogued(repository, set)) {
    const { sequence } = entry
    if (isReadable(entry)) setName ??= entry.manifest.setName
    numbersThere.set(sequence, {
      sequence,
      digest: isUnreadable(entry) ? undefined : entry.digest,
      point: isReadable(entry) ? setPoint(entry) : undefined,
      error: isUnreadable(entry) ? entry.error : undefined,
    })
  }
  return { numbers: numbersThere, setName }
}

/** What a copy has and its source does not have, somebody else has put there. */
function requireOneHistory(
  { store }: Repository,
  here: ReadonlyMap<number, KnownNumber>,
  there: ReadonlyMap<number, KnownNumber>,
): void {
  for (const { sequence, digest } of there.values()) {
    const own = here.get(sequence)
    if (own === undefined) {
      throw new StrataError(
        'E_COPY_DIFFERS',
        `${store.description} has number ${String(sequence)} of a set, which the source does not have`,
      )
    }
    if (own.digest !== undefined && digest !== undefined && own.digest !== digest) {
      throw new StrataError(
        'E_COPY_DIFFERS',
        `number ${String(sequence)} of a set is another one in ${store.description} than in the source`,
      )
    }
  }
}
