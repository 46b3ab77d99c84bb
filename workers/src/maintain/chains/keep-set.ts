import type { Clock } from '@strata/shared/clock.ts'
import { chainEnd, isTooDead, mayBeDead, newestChain, type ChainEnd } from '@strata/shared/policy/chain-due.ts'
import type { Policy } from '@strata/shared/policy/policy.ts'
import { readPoint, type Point } from '@strata/shared/repository/points.ts'
import type { Repository } from '@strata/shared/repository/repository.ts'
import { isGone, RetentionLedger } from '@strata/shared/repository/retention/ledger.ts'
import type { SetId } from '@strata/shared/types.ts'
import { pruneSet, type SetPruning } from '../retention/prune-set.ts'
import { readSetPoints } from '../retention/set-points.ts'
import { synthesise } from '../synthetic-full/synthesise.ts'
import { liveRecordBytes } from './live-bytes.ts'

export interface KeepSetOptions {
  readonly repository: Repository
  readonly set: SetId
  readonly policy: Policy
  readonly policyVersion: number
  readonly clock: Clock
  readonly signal?: AbortSignal | undefined
}

export interface KeptSet {
  /** Why the chain ended, where a synthetic full has begun a new one. */
  readonly synthesised: ChainEnd | undefined
  readonly pruning: SetPruning
}

/** Does for a set what its policy says: a synthetic full where the chain is to end, then what retention lets go. */
export async function keepSet(options: KeepSetOptions): Promise<KeptSet> {
  const { repository, set, clock, signal } = options
  const end = await chainToEnd(options)
  let synthesised: ChainEnd | undefined
  if (end !== undefined && (await synthesise({ repository, set, clock, signal })).made) synthesised = end
  return { synthesised, pruning: await pruneSet({ ...options, dryRun: false }) }
}

/** Whether the chain of the newest point is to end. Looks at maps only where much may be dead. */
export async function chainToEnd({ repository, set, policy, clock }: KeepSetOptions): Promise<ChainEnd | undefined> {
  const { points } = await readSetPoints(repository, set)
  const { state } = await new RetentionLedger(repository).read(set)
  const chain = newestChain(points, (sequence) => isGone(state, sequence))
  if (chain === undefined) return undefined
  const nowMs = Math.min(await repository.store.now(), clock.nowMs())
  const canLock = policy.immutability !== undefined && (await repository.store.lockability()).canLock
  const end = chainEnd(chain, policy.chain, nowMs, canLock)
  if (end !== undefined || !mayBeDead(chain, policy.chain)) return end
  const there: Point[] = []
  for (const { sequence } of chain.there) there.push(await readPoint(repository, set, sequence))
  const liveBytes = await liveRecordBytes(repository, there)
  return isTooDead(chain, policy.chain, liveBytes) ? 'dead share' : undefined
}
