import { sessionName } from '@strata/shared/format/names.ts'
import { stagedLeftLifeMs } from '@strata/shared/limits.ts'
import type { Repository } from '@strata/shared/repository/repository.ts'
import { stagedSegmentOf, stagedTenantPrefix } from '@strata/shared/staging/names.ts'
import type { StagingArea } from '@strata/shared/staging/staging-area.ts'
import { requireGoingOn } from './remove-session-objects.ts'

/**
 * Removes staged segments whose session is over: uploads that came late, or twice. Nothing refers to them. A young one
 * may be of a session that was opened a moment ago, so it stays.
 */
export async function sweepStaging(
  repository: Repository,
  staging: StagingArea,
  signal?: AbortSignal,
): Promise<number> {
  const nowMs = await staging.now()
  let removed = 0
  let known: { readonly session: string; readonly isOver: boolean } | undefined
  // In the order of the names, so segments of one session come together.
  for await (const { name, modifiedMs } of staging.list(stagedTenantPrefix(repository.tenant))) {
    requireGoingOn(signal)
    const staged = stagedSegmentOf(name)
    if (staged === undefined || nowMs - modifiedMs < stagedLeftLifeMs) continue
    if (known?.session !== staged.session) {
      const open = await repository.store.head(sessionName(repository.placeOf(staged.set), staged.session))
      known = { session: staged.session, isOver: open === undefined }
    }
    if (!known.isOver) continue
    await staging.delete(name)
    removed += 1
  }
  return removed
}
