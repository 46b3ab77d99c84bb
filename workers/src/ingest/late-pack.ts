import { sessionName, type SessionPlace } from '@strata/shared/format/names.ts'
import { isVoid, latestSequence } from '@strata/shared/repository/points.ts'
import type { Repository } from '@strata/shared/repository/repository.ts'
import { findOwnNumber } from '../commit/take-number.ts'

/**
 * To be called when a pack of a session from afar has been stored. A session may have been given up meanwhile, with its
 * documents and all that it had stored: a pack that comes after that is found by no sweeper. So it goes again, once a
 * void says that the session has no point and will have none: without one, a commit may have chosen this very pack.
 *
 * As long as `open` is there, a sweeper has yet to remove it, and looks for packs after that.
 */
export async function removeIfLate(
  repository: Repository,
  place: SessionPlace,
  sequenceAtOpen: number,
  packName: string,
): Promise<void> {
  const { store } = repository
  const { set, session } = place
  if ((await store.head(sessionName(place, session))) !== undefined) return
  const last = await latestSequence(repository, set, sequenceAtOpen)
  const search = { repository, set, session, unreadable: 'refused' } as const
  const own = await findOwnNumber(search, sequenceAtOpen, last)
  if (own !== undefined && isVoid(own)) await store.delete(packName)
}
