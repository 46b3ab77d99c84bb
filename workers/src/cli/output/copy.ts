import { StrataError } from '@strata/shared/errors.ts'
import { addStoreTotals, createStoreMetrics, type StoreTotals } from '@strata/shared/store/decorators/metrics.ts'
import type { CopiedSet } from '../../maintain/copies/copy-tenant.ts'
import type { CopyDamage } from '../../maintain/copies/copy-damage.ts'
import { formatBytes, formatCount, formatDuration, formatRate } from './bytes.ts'
import { printable } from './printable.ts'
import { shownPoints } from './damage.ts'
import { factLines } from './table.ts'

/** What came into one other store. */
export interface MadeCopy {
  /** In the policy; null: it was given with --to. */
  readonly name: string | null
  readonly to: string
  readonly sets: readonly CopiedSet[]
  readonly requests: StoreTotals
}

/** `source`: requests to the store that was copied; `target`: to all others. */
export function copyDocument(copies: readonly MadeCopy[], source: StoreTotals, durationMs: number): object {
  const target = addStoreTotals(createStoreMetrics().totals(), ...copies.map(({ requests }) => requests))
  return {
    ...countsOf(copies.flatMap(({ sets }) => sets)),
    copies: copies.map(({ name, to, sets, requests }) => ({ name, to, ...countsOf(sets), requests })),
    durationMs,
    requests: { source, target },
  }
}

/** `gone`: points that the copy's own retention has let go now; `marked`: that begin to go. */
function countsOf(sets: readonly CopiedSet[]) {
  const sum = (of: (set: CopiedSet) => number): number => sets.reduce((total, set) => total + of(set), 0)
  return {
    points: sum(({ points }) => points.length),
    objects: sum(({ objects }) => objects),
    bytes: sum(({ bytes }) => bytes),
    skippedObjects: sum(({ skippedObjects }) => skippedObjects),
    marked: sum(({ pruning }) => pruning?.plan.mark.length ?? 0),
    gone: sum(({ pruning }) => pruning?.plan.gone.length ?? 0),
    damagedTruncated: sets.some(({ damageTruncated }) => damageTruncated),
    damaged: sets.flatMap(({ damage }) => damage.map(({ object = null, ...found }) => ({ object, ...found }))),
    problems: problemsOf(sets),
  }
}

function problemsOf(sets: readonly CopiedSet[]) {
  return sets.flatMap(({ set, setName, pruning }) =>
    (pruning?.problems ?? []).map((problem) => ({ set: setName ?? set, ...problem })),
  )
}

export function copyLines(copies: readonly MadeCopy[], { requests }: StoreTotals, durationMs: number): string[] {
  const bytes = copies.reduce((sum, { sets }) => sum + countsOf(sets).bytes, 0)
  const all = copies.reduce((sum, copy) => sum + copy.requests.requests, requests)
  return [
    ...copies.flatMap(({ name, to, sets }) => {
      const { points, objects, bytes: ofCopy, skippedObjects, marked, gone } = countsOf(sets)
      const had = skippedObjects === 0 ? '' : `; ${formatCount(skippedObjects, 'other')} there already`
      const lines = factLines([
        [name ?? 'copy', to],
        ['points', points === 0 ? 'nothing to copy' : formatCount(points, 'point')],
        ['copied', `${formatCount(objects, 'object')} of ${formatBytes(ofCopy)}, each compared with its hashes${had}`],
        ...(marked + gone === 0
          ? []
          : [
              [
                'retention',
                `${formatCount(marked, 'point')} begin to go in the copy, ${String(gone)} are gone`,
              ] as const,
            ]),
      ])
      return [...lines, ...damageLines(sets), '']
    }),
    ...factLines([
      ['time', `${formatDuration(durationMs)}, ${formatRate(bytes, durationMs)}, ${formatCount(all, 'request')}`],
    ]),
  ]
}

function damageLines(sets: readonly CopiedSet[]): string[] {
  const lines = sets.flatMap(({ damage }) => damage.map(damageLine))
  const more = sets.some(({ damageTruncated }) => damageTruncated) ? ['… and more'] : []
  return lines.length === 0 ? [] : ['', 'not in the copy:', ...lines, ...more]
}

function damageLine({ set, points, code, message }: CopyDamage): string {
  return printable(`  set '${set}', ${shownPoints(points)}: ${code}: ${message}`)
}

/** All that could be copied was, and was told; now it is said that something could not. */
export function requireComplete(copies: readonly MadeCopy[]): void {
  const sets = copies.flatMap((copy) => copy.sets)
  const damage = sets.flatMap((set) => set.damage)
  const [first] = damage
  if (first !== undefined) {
    const more = damage.length === 1 ? '' : ` (and ${formatCount(damage.length - 1, 'other problem')})`
    throw new StrataError('E_COPY_INCOMPLETE', `set '${first.set}': ${first.code}: ${first.message}${more}`)
  }
  const [problem] = problemsOf(sets)
  if (problem === undefined) return
  throw new StrataError('E_PRUNE_INCOMPLETE', `set '${problem.set}': ${problem.code}: ${problem.message}`)
}
