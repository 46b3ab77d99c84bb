import { asId, type ChainId, type SetId } from '@strata/shared/types.ts'
import type { ErrorCode } from '@strata/shared/errors.ts'
import { chainPrefix } from '@strata/shared/format/names.ts'
import { numbersIn, rangesOf } from '@strata/shared/format/number-ranges.ts'
import type { ScrubDamage } from '@strata/shared/format/scrub.ts'
import { noteCharsMax, verifyEveryDaysDefault, warningCharsMax } from '@strata/shared/limits.ts'
import { readPoint, type Point } from '@strata/shared/repository/points.ts'
import type { Repository } from '@strata/shared/repository/repository.ts'
import {
  newScrub,
  ScrubLedger,
  withDamage,
  type DeepVerification,
} from '@strata/shared/repository/scrub/scrub-ledger.ts'
import { ended, overlaps } from '../scrub/look-at-chain.ts'
import { roundMs } from '../scrub/scrub-plan.ts'
import type { PointVerification, VerifiedDamage, VerifyResult } from './verify-points.ts'

/**
 * Notes a verification with the private key in the scrub ledgers of its sets: when it was and what it found. What only the
 * private key can show to be damaged is known from then on, and healed like all else.
 *
 * @param by which machine did it
 */
export async function noteDeep(repository: Repository, result: VerifyResult, by: string): Promise<void> {
  const at = new Date(await repository.store.now()).toISOString()
  for (const [set, points] of Map.groupBy(result.points, (point) => point.set)) {
    const others = result.otherPoints.filter((point) => point.set === set)
    const found = await damageOf(repository, set, [...points, ...others], result.damage, at)
    const deep = summaryOf(points, at, by)
    await new ScrubLedger(repository).change(set, (stored) => {
      const before = stored ?? newScrub(roundMs(verifyEveryDaysDefault), Date.parse(at))
      // What was found without the private key is told better there.
      const damage = found.filter((one) => !before.damage.some((known) => overlaps(known, one)))
      const over = before.damage.filter((known) => known.by === 'deep' && isIntact(known, points))
      const news = { known: over, damage, ended: over.map((one) => ended(one, at, 'restored')), truncated: false }
      const state = withDamage(before, news)
      return {
        state: { ...state, deep: [...state.deep, deep] },
        change: `verified ${String(points.length)} points: ${deep.state}`,
      }
    })
  }
}

function summaryOf(points: readonly PointVerification[], at: string, by: string): DeepVerification {
  return {
    at,
    by: Array.from(by).slice(0, noteCharsMax).join(''),
    points: rangesOf(points.map(({ sequence }) => sequence)),
    state: points.every(({ state }) => state === 'intact') ? 'intact' : 'damaged',
    checkedBytes: points.reduce((sum, { bytesChecked }) => sum + bytesChecked, 0),
  }
}

/** Every point that damage was known to hit was read in full, and nothing is wrong with it. */
function isIntact({ points: hit }: ScrubDamage, points: readonly PointVerification[]): boolean {
  const intact = new Set(points.filter(({ state }) => state === 'intact').map(({ sequence }) => sequence))
  return [...numbersIn(hit)].every((sequence) => intact.has(sequence))
}

async function damageOf(
  repository: Repository,
  set: SetId,
  points: readonly PointVerification[],
  damage: readonly VerifiedDamage[],
  foundAt: string,
): Promise<ScrubDamage[]> {
  const sequences = new Map(points.map(({ point, sequence }): [string, number] => [point, sequence]))
  const found: ScrubDamage[] = []
  for (const one of damage) {
    const hit = rangesOf(one.points.flatMap((id) => sequences.get(id) ?? []))
    const last = hit.at(-1)?.[1]
    if (last === undefined) continue
    const place = placeIn(repository, set, await readPoint(repository, set, last), one)
    if (place === undefined) continue
    const { disk, ...named } = place
    const { code, block, blocks } = one
    const message = Array.from(one.message).slice(0, warningCharsMax).join('')
    const hits = [{ disk, block, blocks, points: hit }]
    const by = isSeenWithoutKey(code) ? 'scrub' : 'deep'
    found.push({ ...named, code, message, foundAt, by, points: hit, hits, truncated: false })
  }
  return found
}

/** Then a scrub sees as well when it is right again. */
function isSeenWithoutKey(code: ErrorCode): boolean {
  return code.startsWith('E_OBJECT_') || code === 'E_STORE_IO'
}

function placeIn(
  repository: Repository,
  set: SetId,
  { manifest }: Point,
  { disk, pack, packOffsetBytes: offset, packLengthBytes: length }: VerifiedDamage,
): (Pick<ScrubDamage, 'chain' | 'object' | 'offset' | 'length'> & { readonly disk: number }) | undefined {
  const prefix = chainPrefix({ ...repository.placeOf(set), chain: asId<ChainId>(manifest.chain) })
  const index = manifest.disks.findIndex(({ name }) => name === disk)
  if (index < 0 || !pack.startsWith(prefix)) return undefined
  return { chain: manifest.chain, object: pack.slice(prefix.length), offset, length, disk: index }
}
