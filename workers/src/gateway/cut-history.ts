import { hasCode } from '@strata/shared/errors.ts'
import { documentObjectBytesMax } from '@strata/shared/format/document.ts'
import { manifestDigest, type Warning } from '@strata/shared/format/manifest.ts'
import { manifestName } from '@strata/shared/format/names.ts'
import type { RememberedPoint } from '@strata/shared/protocol/uplink.ts'
import type { Repository } from '@strata/shared/repository/repository.ts'
import type { SetId } from '@strata/shared/types.ts'

/**
 * Compares what an agent remembers of a set with what the store has. Whoever can delete objects can take the newest
 * points away, and what is left is consistent (docs/format.md, 14); a machine that has made one of them knows better.
 */
export async function cutHistory(
  repository: Repository,
  set: SetId,
  newestSequence: number,
  remembered: readonly RememberedPoint[],
): Promise<Warning[]> {
  const warnings: Warning[] = []
  for (const point of remembered) {
    const what =
      point.sequence > newestSequence
        ? beyondNewest(point.sequence, newestSequence)
        : await differenceOf(repository, set, point)
    if (what !== null) warnings.push(cutWarning(point, what))
  }
  return warnings
}

function beyondNewest(sequence: number, newestSequence: number): string {
  const first = newestSequence + 1
  const missing =
    first === sequence ? `number ${String(first)} is` : `numbers ${String(first)} to ${String(sequence)} are`
  return newestSequence === 0
    ? `the store has no point of the set: ${missing} missing`
    : `the newest in the store is number ${String(newestSequence)}: ${missing} missing`
}

async function differenceOf(
  repository: Repository,
  set: SetId,
  { sequence, manifestDigest: expected }: RememberedPoint,
): Promise<string | null> {
  try {
    const name = manifestName(repository.placeOf(set), sequence)
    const bytes = await repository.store.get(name, { bytesMax: documentObjectBytesMax })
    return manifestDigest(bytes) === expected ? null : 'the store has another manifest under that number'
  } catch (error) {
    if (!hasCode(error, 'E_OBJECT_MISSING')) throw error
    return 'it is missing in the store'
  }
}

function cutWarning({ sequence, manifestDigest: digest }: RememberedPoint, what: string): Warning {
  return {
    code: 'W_HISTORY_CUT',
    message: `this machine has seen point number ${String(sequence)} of the set (manifest digest ${digest}), and ${what}. Find out who could write to the store`,
  }
}
