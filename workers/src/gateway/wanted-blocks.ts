import { hasCode } from '@strata/shared/errors.ts'
import { hasNumber } from '@strata/shared/format/number-ranges.ts'
import type { WantedBlocks } from '@strata/shared/format/session.ts'
import { wantedBlocksMax, wantedRangesMax } from '@strata/shared/limits.ts'
import { damageCodes } from '@strata/shared/repository/damage-codes.ts'
import type { Point } from '@strata/shared/repository/points.ts'
import type { Repository } from '@strata/shared/repository/repository.ts'
import { ScrubLedger, type ScrubState } from '@strata/shared/repository/scrub/scrub-ledger.ts'

/** Blocks of a base whose records are known to be damaged. No backup fails because nobody can tell. */
export async function wantedOf(repository: Repository, base: Point): Promise<WantedBlocks[]> {
  try {
    const state = await new ScrubLedger(repository).read(base.set)
    return state === undefined ? [] : wantedBlocks(state, base.manifest.chain, base.sequence)
  } catch (error) {
    if (hasCode(error, ...damageCodes, 'E_FORMAT_NEWER', 'E_HISTORY_BROKEN')) return []
    throw error
  }
}

/** Bounded: what there is no room for is for the next session. A part of the map that is lost is no block of a disk. */
export function wantedBlocks({ damage }: Pick<ScrubState, 'damage'>, chain: string, sequence: number): WantedBlocks[] {
  const wanted: WantedBlocks[] = []
  let left = wantedBlocksMax
  for (const { hits } of damage.filter((one) => one.chain === chain && one.object.includes('/data-'))) {
    for (const { disk, block, blocks, points } of hits) {
      if (!hasNumber(points, sequence) || left === 0 || wanted.length === wantedRangesMax) continue
      const taken = Math.min(blocks, left)
      wanted.push({ disk, block, blocks: taken })
      left -= taken
    }
  }
  return wanted.sort((a, b) => a.disk - b.disk || a.block - b.block)
}
