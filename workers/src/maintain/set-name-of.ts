import { hasCode } from '@strata/shared/errors.ts'
import { damageCodes } from '@strata/shared/repository/damage-codes.ts'
import { latestPoint } from '@strata/shared/repository/points.ts'
import type { Repository } from '@strata/shared/repository/repository.ts'
import type { SetId } from '@strata/shared/types.ts'

/** A set's name, as its newest point has it; undefined: that cannot be read, or nothing is there any more. */
export async function setNameOf(repository: Repository, set: SetId): Promise<string | undefined> {
  try {
    return (await latestPoint(repository, set))?.manifest.setName
  } catch (error) {
    if (!hasCode(error, ...damageCodes, 'E_FORMAT_NEWER')) throw error
    return undefined
  }
}
