import { findPoint } from '@strata/shared/repository/find-point.ts'
import { StrataError, toStrataError } from '@strata/shared/errors.ts'
import type { Repository } from '@strata/shared/repository/repository.ts'
import { createStoreMetrics, type StoreTotals } from '@strata/shared/store/decorators/metrics.ts'
import type { ObjectStore } from '@strata/shared/store/object-store.ts'
import { noteDeep } from '../../maintain/verify/note-deep.ts'
import { verifyPoints, type PointVerification, type VerifyResult } from '../../maintain/verify/verify-points.ts'
import { exitCodes, stopIfInterrupted, type Context, type ExitCode } from '../context.ts'
import { parseWholePoint } from '../input/point-reference.ts'
import { formatBytes, formatCount, formatDuration, formatRate, shownIdChars } from '../output/bytes.ts'
import { damageLines } from '../output/damage.ts'
import { factLines, tableLines } from '../output/table.ts'
import { withStore } from '../store.ts'
import { unlockGivenTenant } from '../unlock.ts'

/** `strata verify POINT`, or all of them without one: reads points back without writing them anywhere. */
export async function verify(
  context: Context,
  text: string | undefined,
  tenant: string | undefined,
): Promise<ExitCode> {
  const { clock } = context
  const startedMs = clock.monotonicMs()
  const reference = text === undefined ? undefined : parseWholePoint(text)
  const metrics = createStoreMetrics()
  const result = await withStore(context, (store) => verifyIn(context, store, reference, tenant), { metrics })
  report(context, result, metrics.totals(), Math.round(clock.monotonicMs() - startedMs))
  return result.state === 'intact' ? exitCodes.success : exitCodes.damage
}

async function verifyIn(
  context: Context,
  store: ObjectStore,
  reference: string | undefined,
  tenant: string | undefined,
): Promise<VerifyResult> {
  const { reporter, signal } = context
  const { repository, privateKey } = await unlockGivenTenant(context, store, tenant)
  const points = reference === undefined ? 'all' : [await findPoint(repository, reference)]
  stopIfInterrupted(signal)
  const progress = reporter.progress('verify')
  try {
    const result = await verifyPoints({
      repository,
      privateKey,
      points,
      clock: context.clock,
      onWarning: ({ code, message }) => {
        reporter.warning(`${code}: ${message}`)
      },
      signal,
      onProgress: ({ pointsDone, pointsTotal, checkedBytes }) => {
        const detail = `${String(pointsDone)} of ${formatCount(pointsTotal, 'point')} done`
        progress.update({ doneBytes: checkedBytes, totalBytes: 0, detail })
      },
    })
    // Nothing at all is no success: somebody relies on there being something.
    if (result.points.length === 0 && result.history.length === 0) {
      throw new StrataError('E_POINT_UNKNOWN', 'there is no point to verify')
    }
    await note(context, repository, result)
    return result
  } finally {
    progress.end()
  }
}

const notNotedCode = 'W_VERIFY_NOT_NOTED'

/** What was found is true whether or not it can be noted. */
async function note({ reporter, hostName }: Context, repository: Repository, result: VerifyResult): Promise<void> {
  try {
    await noteDeep(repository, result, hostName)
  } catch (error) {
    const { kind, message } = toStrataError(error)
    if (kind === 'bug') throw error
    reporter.warning(`${notNotedCode}: the store does not know of this verification: ${message}`)
  }
}

function report({ reporter }: Context, result: VerifyResult, requests: StoreTotals, durationMs: number): void {
  const { points, otherPoints, damage, damageTruncated, history, bytesChecked, blocksChecked } = result
  const blocks = damage.reduce((sum, range) => sum + range.blocks, 0)
  const bytes = damage.reduce((sum, range) => sum + range.lengthBytes, 0)
  const found = { blocks, bytes, ranges: damage, truncated: damageTruncated }
  const document = { ...result, points: points.map(named), otherPoints: otherPoints.map(named), durationMs, requests }
  reporter.result(document, [
    ...pointTable([...points, ...otherPoints]),
    ...damageLines(found),
    '',
    ...factLines([
      ['checked', `${formatBytes(bytesChecked)} in ${formatCount(blocksChecked, 'block')}, each read once`],
      [
        'time',
        `${formatDuration(durationMs)}, ${formatRate(bytesChecked, durationMs)}, ${formatCount(requests.requests, 'request')}`,
      ],
      ['result', summary(result)],
    ]),
  ])
  for (const { code, message } of history) reporter.warning(`${code}: ${message}`)
  if (result.state === 'damaged') reporter.warning(`E_POINT_DAMAGED: ${summary(result)}`)
}

/** `set` is the name everywhere in --json. */
function named({ set, setName, ...members }: PointVerification): object {
  return { ...members, set: setName, setId: set }
}

function pointTable(points: readonly PointVerification[]): string[] {
  const rows = points.map(({ point, setName, sequence, state, bytesChecked, damage }) => [
    point.slice(0, shownIdChars),
    setName,
    String(sequence),
    formatBytes(bytesChecked),
    state === 'intact' ? state : `${state}: ${formatCount(damage.blocks, 'block')}, ${formatBytes(damage.bytes)}`,
  ])
  return tableLines(
    [
      { title: 'POINT' },
      { title: 'SET' },
      { title: 'NUMBER', align: 'right' },
      { title: 'CHECKED', align: 'right' },
      { title: 'STATE' },
    ],
    rows,
  )
}

function summary({ state, points, otherPoints, history }: VerifyResult): string {
  if (state === 'intact') return `${formatCount(points.length, 'point')} intact`
  const damaged = points.filter((point) => point.state === 'damaged').length
  const others =
    otherPoints.length === 0 ? '' : `; the same damage hits ${formatCount(otherPoints.length, 'other point')}`
  const gaps = history.length === 0 ? '' : `; ${formatCount(history.length, 'problem')} of history`
  return `${String(damaged)} of ${formatCount(points.length, 'point')} damaged${others}${gaps}`
}
