import { resolve } from 'node:path'
import { findPoint } from '@strata/shared/repository/find-point.ts'
import { withPin } from '@strata/shared/repository/retention/pins.ts'
import { createStoreMetrics, type StoreTotals } from '@strata/shared/store/decorators/metrics.ts'
import type { ThawSpeed } from '@strata/shared/store/archive/archive-access.ts'
import type { ObjectStore } from '@strata/shared/store/object-store.ts'
import { restoreDisk, type RestoreResult } from '../../deliver/restore/restore-disk.ts'
import { exitCodes, stopIfInterrupted, type Context, type ExitCode } from '../context.ts'
import { parsePointReference, type PointReference } from '../input/point-reference.ts'
import { formatBytes, formatCount, formatDuration, formatRate } from '../output/bytes.ts'
import { damageLines } from '../output/damage.ts'
import { factLines } from '../output/table.ts'
import { pinFor } from '../pin.ts'
import { requireThawed } from '../thaw.ts'
import { withStore } from '../store.ts'
import { unlockGivenTenant } from '../unlock.ts'

export interface RestoreCommandOptions {
  readonly to: string
  readonly force?: boolean
  readonly allowDamaged?: boolean
  readonly thaw?: ThawSpeed
  readonly tenant?: string
}

/** `strata restore`: one disk of a point, to a file or device. */
export async function restore(context: Context, text: string, options: RestoreCommandOptions): Promise<ExitCode> {
  const reference = parsePointReference(text)
  const metrics = createStoreMetrics()
  const result = await withStore(context, (store) => restoreFrom(context, store, reference, options), { metrics })
  for (const { code, message } of result.warnings) context.reporter.warning(`${code}: ${message}`)
  report(context, result, metrics.totals())
  return result.damage.blocks === 0 ? exitCodes.success : exitCodes.damage
}

async function restoreFrom(
  context: Context,
  store: ObjectStore,
  reference: PointReference,
  { to, force, allowDamaged, thaw, tenant }: RestoreCommandOptions,
): Promise<RestoreResult> {
  const { clock, signal, reporter } = context
  const { repository, privateKey } = await unlockGivenTenant(context, store, tenant)
  const point = await findPoint(repository, reference.point)
  stopIfInterrupted(signal)
  // Whoever takes damage into account gets what can be read now.
  if (allowDamaged !== true || thaw !== undefined) await requireThawed(context, repository, point, thaw)
  const progress = reporter.progress('restore')
  try {
    return await withPin(repository, pinFor(context, point, 'restore'), () =>
      restoreDisk({
        repository,
        privateKey,
        point,
        diskName: reference.disk,
        target: { path: resolve(context.workingDirectory, to), force: force === true },
        allowDamaged: allowDamaged === true,
        signal,
        onProgress: (state) => {
          progress.update(state)
        },
        clock,
      }),
    )
  } finally {
    progress.end()
  }
}

function report({ reporter }: Context, result: RestoreResult, requests: StoreTotals): void {
  const { damage, durationMs, sizeBytes } = result
  const whole = damage.blocks === 0
  reporter.result({ ...result, complete: whole, requests }, [
    ...factLines([
      ['point', result.point],
      ['disk', result.disk],
      ['target', result.target],
      ['size', `${formatBytes(sizeBytes)}, ${formatBytes(result.zeroBytes)} of it zeros`],
      ['written', `${formatBytes(result.writtenBytes)}, ${formatCount(requests.requests, 'request')}`],
      ['time', `${formatDuration(durationMs)}, ${formatRate(sizeBytes, durationMs)}`],
      ['digests', whole ? 'all right' : `${formatCount(damage.blocks, 'block')} lost, and zeros in their place`],
    ]),
    ...damageLines(damage),
  ])
  if (!whole) reporter.warning(`E_POINT_DAMAGED: ${formatBytes(damage.bytes)} of the disk could not be restored`)
}
