import { hasCode } from '@strata/shared/errors.ts'
import { hasNumber } from '@strata/shared/format/number-ranges.ts'
import type { ScrubDamage } from '@strata/shared/format/scrub.ts'
import type { WantedBlocks } from '@strata/shared/format/session.ts'
import { wantedBlocksMax, wantedRangesMax } from '@strata/shared/limits.ts'
import { damageCodes } from '@strata/shared/repository/damage-codes.ts'
import type { Point } from '@strata/shared/repository/points.ts'
import type { Repository } from '@strata/shared/repository/repository.ts'
import { ScrubLedger, type ScrubState } from '@strata/shared/repository/scrub/scrub-ledger.ts'

/** What is known to be damaged of a base. */
export interface BaseDamage {
  /** Blocks whose records are damaged: an agent can send them again. */
  readonly wanted: readonly WantedBlocks[]
  /** A part of its map is: whatever is built on it has that in common with it. */
  readonly isMapDamaged: boolean
}

/** No backup fails because nobody can tell. */
export async function damageOf(repository: Repository, base: Point): Promise<BaseDamage> {
  try {
    const state = await new ScrubLedger(repository).read(base.set)
    if (state === undefined) return { wanted: [], isMapDamaged: false }
    const { chain } = base.manifest
    const isMapDamaged = state.damage.some(
      (one) => one.chain === chain && isOfMap(one) && hasNumber(one.points, base.sequence),
    )
    return { wanted: wantedBlocks(state, chain, base.sequence), isMapDamaged }
  } catch (error) {
    if (hasCode(error, ...damageCodes, 'E_FORMAT_NEWER', 'E_HISTORY_BROKEN')) return { wanted: [], isMapDamaged: false }
    throw error
  }
}

function isOfMap({ object }: ScrubDamage): boolean {
  return object.includes('/map-')
}

/** Bounded: what there is no room for is for the next session. */
export function wantedBlocks({ damage }: Pick<ScrubState, 'damage'>, chain: string, sequence: number): WantedBlocks[] {
  const wanted: WantedBlocks[] = []
  let left = wantedBlocksMax
  for (const { hits } of damage.filter((one) => one.chain === chain && !isOfMap(one))) {
    for (const { disk, block, blocks, points } of hits) {
      if (!hasNumber(points, sequence) || left === 0 || wanted.length === wantedRangesMax) continue
      const taken = Math.min(blocks, left)
      wanted.push({ disk, block, blocks: taken })
      left -= taken
    }
  }
  return wanted.sort((a, b) => a.disk - b.disk || a.block - b.block)
}
