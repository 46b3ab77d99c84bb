import { isReadable, listPoints, type Point } from '@strata/shared/repository/points.ts'
import type { Repository } from '@strata/shared/repository/repository.ts'
import { isGone, RetentionLedger } from '@strata/shared/repository/retention/ledger.ts'
import { ScrubLedger, withDamage } from '@strata/shared/repository/scrub/scrub-ledger.ts'
import type { ChainId, SetId } from '@strata/shared/types.ts'
import type { BadPlace } from './bad-places.ts'
import { lookAtChain } from './look-at-chain.ts'

/**
 * After a point was made for which an agent has sent damaged blocks again: its records stand for the damaged ones wherever
 * older points need the same bytes. Looks at nothing but what is known to be damaged.
 */
export async function healChain(
  repository: Repository,
  set: SetId,
  chain: ChainId,
): Promise<{ readonly healed: number; readonly left: number }> {
  const ledger = new ScrubLedger(repository)
  const known = (await ledger.read(set))?.damage.filter((one) => one.chain === chain) ?? []
  if (known.length === 0) return { healed: 0, left: 0 }
  const points = (await Array.fromAsync(listPoints(repository, set))).filter(
    (entry): entry is Point => isReadable(entry) && entry.manifest.chain === chain,
  )
  const { state } = await new RetentionLedger(repository).read(set)
  const isThere = (sequence: number): boolean => !isGone(state, sequence)
  const news = await lookAtChain({
    repository,
    place: { ...repository.placeOf(set), chain },
    points: points.filter(({ sequence }) => isThere(sequence)),
    isThere,
    known,
    bad: known.map((one) => ({ ...one, code: one.code as BadPlace['code'] })),
    listed: undefined,
    knownBlocksOnly: true,
  })
  const healed = news.ended.filter(({ how }) => how === 'healed').length
  await ledger.change(set, (before) =>
    before === undefined
      ? undefined
      : { state: withDamage(before, news), change: `${String(healed)} places healed by what an agent has sent again` },
  )
  return { healed, left: news.damage.length }
}
