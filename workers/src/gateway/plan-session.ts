import type { DiskDescription, PointKind, Warning } from '@strata/shared/format/manifest.ts'
import { chainPointsMax } from '@strata/shared/limits.ts'
import type { WantedBlocks } from '@strata/shared/format/session.ts'
import type { OpenRequest } from '@strata/shared/protocol/uplink.ts'
import { readingBase } from '@strata/shared/repository/base-errors.ts'
import { PointMap } from '@strata/shared/repository/point-map.ts'
import { fullOf, latestPoint, latestSequenceFrom, type Point } from '@strata/shared/repository/points.ts'
import type { Repository } from '@strata/shared/repository/repository.ts'
import { RetentionLedger } from '@strata/shared/repository/retention/ledger.ts'
import { whichAreThere } from '@strata/shared/repository/retention/pins.ts'
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

/** docs/decisions/0004-when-a-chain-ends.md. `remembered`: a number that the set had when it was last looked at, or 0. */
export async function planSession(
  repository: Repository,
  request: OpenRequest,
  remembered: number,
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
  return { kind, base, map, sequence, disks: verdict.disks, warnings: verdict.warnings, wanted }
}

async function canBePinned(repository: Repository, { set, sequence }: Point): Promise<boolean> {
  const { state } = await new RetentionLedger(repository).read(set)
  return (await whichAreThere(repository, state))(sequence)
}

function newChain(request: OpenRequest, sequence: number, warnings: readonly Warning[]): SessionPlan {
  return { kind: 'full', base: null, map: null, sequence, disks: describeNewDisks(request.disks), warnings, wanted: [] }
}
