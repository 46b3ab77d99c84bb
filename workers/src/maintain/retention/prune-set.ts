import type { Clock } from '@strata/shared/clock.ts'
import { StrataError } from '@strata/shared/errors.ts'
import type { StoredByClass } from '@strata/shared/cost/price-of.ts'
import type { Warning } from '@strata/shared/format/manifest.ts'
import { clockSkewWarnMs } from '@strata/shared/limits.ts'
import type { Policy } from '@strata/shared/policy/policy.ts'
import { readPoint, type Point } from '@strata/shared/repository/points.ts'
import type { Repository } from '@strata/shared/repository/repository.ts'
import {
  isGone,
  RetentionLedger,
  withCollected,
  type RetentionState,
} from '@strata/shared/repository/retention/ledger.ts'
import { aloneWithGone, pinnedPoints } from '@strata/shared/repository/retention/pins.ts'
import { asId, type ChainId, type SetId } from '@strata/shared/types.ts'
import { ClassTotals } from '../usage/class-totals.ts'
import { collectChain, waits, type ChainToCollect, type Collected } from './collect-chain.ts'
import { chainsToCollect, changeText, planSet, type SetPlan } from './plan-set.ts'
import { readSetPoints, type SetPoint, type SetPoints } from './set-points.ts'

/**
 * Prunes one set: marks the points that its policy keeps no more, lets those go whose time has come, and tags what no
 * point needs any more. Each step may be the last before a death; the next prune goes on with it. Any number of prunes,
 * backups, restores and other readers may be under way at the same time.
 */
export interface PruneOptions {
  readonly repository: Repository
  readonly set: SetId
  readonly policy: Policy
  /** Which policy that is, for the ledger. */
  readonly policyVersion: number
  readonly clock: Clock
  /** Nothing is changed; `objects` and `bytes` are what would go with all points that the policy does not keep. */
  readonly dryRun: boolean
  readonly signal?: AbortSignal | undefined
}

export interface SetPruning {
  readonly set: SetId
  readonly setName: string | undefined
  readonly plan: SetPlan
  /** Objects that were tagged, and their bytes. */
  readonly objects: number
  readonly bytes: number
  /** The same by the class that they lie in. */
  readonly byClass: StoredByClass
  /** Of those objects, how many lie in chains whose locks have not ended: the store keeps them until then. */
  readonly locked: number
  /** What stands in the way of a part of it. */
  readonly problems: readonly Warning[]
}

export async function pruneSet(options: PruneOptions): Promise<SetPruning> {
  const { repository, set, clock, dryRun } = options
  const { store } = repository
  const ledger = new RetentionLedger(repository)
  const found = await readSetPoints(repository, set)
  const nowMs = await agreedTime(store, clock)
  const why = `policy version ${String(options.policyVersion)} keeps them no more`
  let plan: SetPlan | undefined
  const decide = async (state: RetentionState): Promise<SetPlan> => {
    const pinned = await Array.fromAsync(pinnedPoints(repository, set, clock))
    const { retention, schedule, hours } = options.policy
    return planSet({ points: found.points, state, pinned, policy: retention, runs: { schedule, hours }, why, nowMs })
  }
  let state: RetentionState
  if (dryRun) {
    plan = await decide((await ledger.read(set)).state)
    // As if all of it were over: so far does the decision reach.
    state = withAllGone(plan)
  } else {
    const after = await ledger.change(set, async (before) => {
      requireNotBefore(before.changedAt, nowMs)
      plan = await decide(before.state)
      return { state: plan.state, change: changeText(plan, why) }
    })
    state = after.state
  }
  if (plan === undefined) throw new StrataError('E_BUG', 'a change of the ledger asks for a plan')
  return { set, setName: found.setName, plan, ...(await collect(options, ledger, found, state)) }
}

/** The earlier of the store's time and ours. A clock that is wrong lets nothing go: E_CLOCK_DISAGREES. */
async function agreedTime(store: Repository['store'], clock: Clock): Promise<number> {
  const storeMs = await store.now()
  const ownMs = clock.nowMs()
  if (Math.abs(storeMs - ownMs) <= clockSkewWarnMs) return Math.min(storeMs, ownMs)
  throw new StrataError(
    'E_CLOCK_DISAGREES',
    `by the store it is ${new Date(storeMs).toISOString()}, and by this machine ${new Date(ownMs).toISOString()}`,
  )
}

/** Whoever has written in the future had a wrong clock, or has one now. */
function requireNotBefore(changedAt: string | undefined, nowMs: number): void {
  if (changedAt === undefined || Date.parse(changedAt) <= nowMs + clockSkewWarnMs) return
  throw new StrataError(
    'E_CLOCK_DISAGREES',
    `the ledger of the set was last changed at ${changedAt}, which is yet to come`,
  )
}

function withAllGone({ state, decisions }: SetPlan): RetentionState {
  const going = decisions.filter(({ keep }) => !keep).map(({ point }) => point.sequence)
  const gone = [...going].sort((a, b) => a - b).map((sequence): [number, number] => [sequence, sequence])
  return { ...state, gone: [...state.gone, ...gone].sort(([a], [b]) => a - b) }
}

async function collect(
  options: PruneOptions,
  ledger: RetentionLedger,
  found: SetPoints,
  state: RetentionState,
): Promise<Pick<SetPruning, 'objects' | 'bytes' | 'byClass' | 'locked' | 'problems'>> {
  const { repository, set, dryRun } = options
  const chains = chainsToCollect(found.points, state)
  const [unreadable] = found.unreadable
  if (chains.length > 0 && unreadable !== undefined) {
    const message = `nothing of the set is deleted while number ${String(unreadable.sequence)} cannot be read, since nobody knows what it needs: ${unreadable.error.message}`
    return { objects: 0, bytes: 0, byClass: {}, locked: 0, problems: [{ code: unreadable.error.code, message }] }
  }
  let objects = 0
  let bytes = 0
  let locked = 0
  const classes = new ClassTotals()
  const nowMs = await repository.store.now()
  const problems: Warning[] = []
  const sessions = new Set(found.points.map(({ id }) => id))
  for (const { chain, gone, goneBytes, newBytes } of chains) {
    const ofChain = found.points.filter((point) => point.chain === chain)
    try {
      const toCollect = {
        place: { ...repository.placeOf(set), chain: asId<ChainId>(chain) },
        there: await readThere(repository, set, ofChain, state),
        sessions,
        goneBytes: newBytes,
      }
      const sequences = ofChain.map(({ sequence }) => sequence).filter((sequence) => isGone(state, sequence))
      const collected = await collectAlone(options, toCollect, sequences, problems)
      objects += collected.objects
      bytes += collected.bytes
      for (const [name, amount] of collected.byClass) classes.addAmount(name, amount)
      if (ofChain.some(({ lock }) => lock !== undefined && Date.parse(lock.until) > nowMs)) locked += collected.objects
      if (collected.outcome === 'waits' || dryRun) continue
      const at = new Date(await repository.store.now()).toISOString()
      await ledger.change(set, (before) => ({
        state: withCollected(before.state, { chain, gone, goneBytes, at }),
        change: `looked through chain ${chain}: ${String(collected.objects)} objects tagged`,
      }))
    } catch (error) {
      if (!(error instanceof StrataError) || !isAboutOneChain(error)) throw error
      problems.push({ code: error.code, message: `chain ${chain} stays as it is: ${error.message}` })
    }
  }
  return { objects, bytes, byClass: classes.byClass, locked, problems }
}

/** A copy from another store may need again what is dead here: while it is at it, the chain waits. */
async function collectAlone(
  { repository, set, clock, dryRun, signal }: PruneOptions,
  chain: ChainToCollect,
  sequences: readonly number[],
  problems: Warning[],
): Promise<Collected> {
  const work = (): Promise<Collected> => collectChain(repository, chain, { tag: !dryRun, signal })
  if (dryRun) return await work()
  const onWarning = (warning: Warning): void => {
    problems.push(warning)
  }
  const alone = { set, sequences, purpose: 'a prune that tags what is dead', clock, onWarning }
  return (await aloneWithGone(repository, alone, work)) ?? waits
}

async function readThere(
  repository: Repository,
  set: SetId,
  points: readonly SetPoint[],
  state: RetentionState,
): Promise<Point[]> {
  const there: Point[] = []
  for (const { sequence } of points) {
    if (!isGone(state, sequence)) there.push(await readPoint(repository, set, sequence))
  }
  return there
}

/** Else it is the store's trouble, or ours: other chains would fare no better. */
function isAboutOneChain({ code, kind }: StrataError): boolean {
  return (
    kind === 'permanent' && code !== 'E_INTERRUPTED' && !code.startsWith('E_STORE') && code !== 'E_REGISTRY_CONFLICT'
  )
}
