import { hasCode } from '@strata/shared/errors.ts'
import { archivedBytesMin, copiedDeadShareMax, wholePackBytesMin } from '@strata/shared/limits.ts'
import { readPolicy } from '@strata/shared/policy/policy.ts'
import { wholePackBytesFrom } from '@strata/shared/policy/whole-packs.ts'
import { latestPolicy } from '@strata/shared/repository/registry/policies.ts'
import { Registry } from '@strata/shared/repository/registry/registry.ts'
import type { Repository } from '@strata/shared/repository/repository.ts'
import { bySourcePack, type LiveRecord, type WholePack } from './plan-packs.ts'
import type { SourceEnds } from './source-ends.ts'

/**
 * Which source packs are copied whole: large ones, of which nearly all lives, and lies close together on the disk. A store
 * copies an object as such with one request, and many need not move a byte for it.
 */
export async function wholePacks(
  sources: SourceEnds,
  records: readonly LiveRecord[],
  packBytesMin: number,
): Promise<WholePack[]> {
  const wholes: WholePack[] = []
  for (const ofPack of bySourcePack(records)) {
    const [first] = ofPack
    const liveBytes = liveBytesOf(ofPack)
    // Whoever has less is out whatever the pack's size is, and its end need not be read for that.
    if (first === undefined || liveBytes < liveBytesMin(packBytesMin)) continue
    const { pack } = first.place
    const { sizeBytes, canBeCopiedWhole } = await sources.of(pack)
    if (canBeCopiedWhole && sizeBytes >= packBytesMin && liveBytes >= liveBytesMin(sizeBytes)) {
      wholes.push({ pack, sizeBytes, records: ofPack })
    }
  }
  return wholes
}

function liveBytesMin(packBytes: number): number {
  return packBytes / (1 + copiedDeadShareMax)
}

/** @param records by ascending offset; one record may stand for several blocks */
function liveBytesOf(records: readonly LiveRecord[]): number {
  return records.reduce((sum, { place }, index) => {
    return place.offset === records[index - 1]?.place.offset ? sum : sum + place.length
  }, 0)
}

/** As the policy has it; with one that cannot be read, as if it archived. */
export async function wholePackBytesMinOf(repository: Repository): Promise<number> {
  const stored = await latestPolicy(new Registry(repository))
  if (stored === undefined) return wholePackBytesMin
  try {
    return wholePackBytesFrom(readPolicy(stored.document.body).policy)
  } catch (error) {
    if (hasCode(error, 'E_POLICY_NEWER', 'E_POLICY_INVALID')) return archivedBytesMin
    throw error
  }
}
