import type { Repository } from '@strata/shared/repository/repository.ts'
import { RetentionLedger, withoutMarks } from '@strata/shared/repository/retention/ledger.ts'
import type { SetId } from '@strata/shared/types.ts'
import { markedNumbers } from './plan-set.ts'

/** Takes the marks of a set back, and gives the numbers of its points that were marked. What is gone stays gone. */
export async function undoMarks(repository: Repository, set: SetId): Promise<number[]> {
  let undone: number[] = []
  await new RetentionLedger(repository).change(set, ({ state }) => {
    undone = markedNumbers(state)
    if (undone.length === 0) return undefined
    return { state: withoutMarks(state, undone), change: `${String(undone.length)} marked no more: undone by hand` }
  })
  return undone.sort((a, b) => a - b)
}
