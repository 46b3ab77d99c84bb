import type { DiskDescription, PointKind, Warning } from '@strata/shared/format/manifest.ts'
import { chainPointsMax } from '@strata/shared/limits.ts'
import type { WantedBlocks } from '@strata/shared/format/session.ts'
import { isClosed } from '@strata/shared/policy/chain-lock.ts'
import type { OpenRequest } from '@strata/shared/protocol/uplink.ts'
import { readingBase } from '@strata/shared/repository/base-errors.ts'
import { PointMap } from '@strata/shared/repository/point-map.ts'
import { fullOf, latestPoint, latestSequenceFrom, type Point } from '@strata/shared/repository/points.ts'
import type { Repository } from '@strata/shared/repository/repository.ts'
import { RetentionLedger } from '@strata/shared/repository/retention/ledger.ts'
import { whichAreThere } from '@strata/shared/repository/retention/pins.ts'
import { notLocked } from '../commit/chain-locking.ts'
import { describeNewDisks, judgeDisks } from './disk-rules.ts'
import { damageOf } from './wanted-blocks.ts'

/** What a session will be: which kind of point, on what base, with which blocks. */
export interface SessionPlan {
  readonly kind: PointKind
  readonly base: Point | null
  readonly map: PointMap | null
  /** The set's newest sequence number; 0: none. */
  readonly sequence: number
  readonly disks: readonly DiskDescription[]
  readonly warnings: readonly Warning[]
  /** Blocks of the base whose records are damaged. */
  readonly wanted: readonly WantedBlocks[]
}

/**
 * docs/decisions/0004-when-a-chain-ends.md, 0026-immutability.md.
 * @param remembered a number that the set had when it was last looked at, or 0
 * @param wantsLocks whether the policy does
 */
export async function planSession(
  repository: Repository,
  request: OpenRequest,
  remembered: number,
  wantsLocks: boolean,
): Promise<SessionPlan> {
  const set = repository.setIdOf(request.setName)
  const sequence = await latestSequenceFrom(repository, set, remembered)
  if (request.kind === 'full') return newChain(request, sequence, [])
  const latest = await readingBase(latestPoint(repository, set, sequence))
  if (latest === undefined) {
    const warning = {
      code: 'W_NO_BASE',
      message: `the set '${request.setName}' has no point yet, so this one is full`,
    }
    return newChain(request, sequence, request.kind === 'auto' ? [] : [warning])
  }
  const verdict = judgeDisks(latest.manifest, request.disks)
  if (!verdict.continues) return newChain(request, sequence, [verdict.warning])
  const locking = await judgeLock(repository, latest, wantsLocks)
  if (!locking.continues) return newChain(request, sequence, [locking.warning])
  const base = request.kind === 'differential' ? await readingBase(fullOf(repository, latest)) : latest
  // The newest point never goes. Its full may: then it is as if the chain had none.
  if (base !== latest && !(await canBePinned(repository, base))) {
    const message = 'retention lets the full of the chain go, so a new chain begins'
    return newChain(request, sequence, [{ code: 'W_FULL_RETIRED', message }])
  }
  const { wanted, isMapDamaged } = await damageOf(repository, base)
  if (isMapDamaged) {
    const message = `a part of the map of point ${base.manifest.point} is damaged in the store, so a new chain begins`
    return newChain(request, sequence, [{ code: 'W_CHAIN_DAMAGED', message }])
  }
  const map = await readingBase(PointMap.open(repository, base))
  if (map.root.keys.length >= chainPointsMax) {
    const message = `the chain has ${String(map.root.keys.length)} data keys, so a new one begins`
    return newChain(request, sequence, [{ code: 'W_CHAIN_LONG', message }])
  }
  const kind = request.kind === 'differential' ? 'differential' : 'incremental'
  const warnings = [...verdict.warnings, ...locking.warnings]
  return { kind, base, map, sequence, disks: verdict.disks, warnings, wanted }
}

type Verdict =
  | { readonly continues: true; readonly warnings: readonly Warning[] }
  | { readonly continues: false; readonly warning: Warning }

/** A chain whose full could not be locked goes on without: the next full would fare no better. */
async function judgeLock(repository: Repository, { manifest }: Point, wantsLocks: boolean): Promise<Verdict> {
  const { store } = repository
  const { lock, warnings } = manifest
  if (lock !== undefined) {
    if (!isClosed(lock, await store.now())) return { continues: true, warnings: [] }
    const message = `the chain closed at ${lock.closesAt}, as its lock has it, so a new one begins`
    return { continues: false, warning: { code: 'W_CHAIN_CLOSED', message } }
  }
  if (!wantsLocks) return { continues: true, warnings: [] }
  const lockability = await store.lockability()
  if (!lockability.canLock) return { continues: true, warnings: [notLocked(lockability.why)] }
  const before = warnings.find(({ code }) => code === 'W_NOT_LOCKED')
  if (before !== undefined) return { continues: true, warnings: [before] }
  const message = 'the policy wants locks, and the chain began without, so a new one begins'
  return { continues: false, warning: { code: 'W_CHAIN_UNLOCKED', message } }
}

async function canBePinned(repository: Repository, { set, sequence }: Point): Promise<boolean> {
  const { state } = await new RetentionLedger(repository).read(set)
  return (await whichAreThere(repository, state))(sequence)
}

function newChain(request: OpenRequest, sequence: number, warnings: readonly Warning[]): SessionPlan {
  return { kind: 'full', base: null, map: null, sequence, disks: describeNewDisks(request.disks), warnings, wanted: [] }
}
