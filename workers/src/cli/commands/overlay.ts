import { availableParallelism } from 'node:os'
import { resolve } from 'node:path'
import { ingestThreadsMax } from '@strata/shared/limits.ts'
import { findPoint } from '@strata/shared/repository/find-point.ts'
import { pointId } from '@strata/shared/repository/points.ts'
import { withPin } from '@strata/shared/repository/retention/pins.ts'
import { createHandOver } from '@strata/shared/spool/hand-over.ts'
import { createStoreMetrics } from '@strata/shared/store/decorators/metrics.ts'
import type { ObjectStore } from '@strata/shared/store/object-store.ts'
import { chooseDisk } from '../../deliver/choose-disk.ts'
import { openImage } from '../../deliver/image/open-image.ts'
import { OverlayFiles, type OverlayDescription } from '../../deliver/image/overlay/overlay-files.ts'
import { OverlayImage } from '../../deliver/image/overlay/overlay-image.ts'
import { keepChanges, type Kept } from '../../deliver/keep/keep-changes.ts'
import { ReadPool } from '../../read/read-pool.ts'
import { exitCodes, type Context, type ExitCode } from '../context.ts'
import { formatBytes, formatCount, formatDuration } from '../output/bytes.ts'
import { factLines } from '../output/table.ts'
import { pinFor } from '../pin.ts'
import { withStore } from '../store.ts'
import { unlockGivenTenant } from '../unlock.ts'

export interface OverlayOptions {
  readonly tenant?: string
}

/** `strata overlay commit`: a point of what was written to a mount. */
export async function overlayCommit(context: Context, directory: string, options: OverlayOptions): Promise<ExitCode> {
  const place = resolve(context.workingDirectory, directory)
  const description = await OverlayFiles.describe(place)
  const metrics = createStoreMetrics()
  const keeping = (store: ObjectStore): Promise<Kept> => keepFrom(context, store, place, description, options)
  const { point, scannedBytes, changedBytes, durationMs } = await withStore(context, keeping, { metrics })
  const { setName, chain, kind, statistics, warnings } = point.manifest
  const requests = metrics.totals()
  const { storedBytes } = statistics
  context.reporter.result(
    {
      point: pointId(point),
      set: setName,
      chain,
      kind,
      scannedBytes,
      changedBytes,
      storedBytes,
      durationMs,
      warnings,
      requests,
    },
    factLines([
      ['point', pointId(point)],
      ['set', setName],
      ['built on', description.point],
      ['changed', formatBytes(changedBytes)],
      ['stored', `${formatBytes(storedBytes)}, ${formatCount(requests.requests, 'request')}`],
      ['time', formatDuration(durationMs)],
    ]),
  )
  return exitCodes.success
}

async function keepFrom(
  context: Context,
  store: ObjectStore,
  directory: string,
  description: OverlayDescription,
  { tenant }: OverlayOptions,
): Promise<Kept> {
  const { clock, signal, reporter, settings } = context
  const { repository, privateKey } = await unlockGivenTenant(context, store, tenant)
  const point = await findPoint(repository, description.point)
  return await withPin(repository, pinFor(context, point, 'overlay commit'), async () => {
    await using pool = new ReadPool()
    const onDamage = (): void => undefined
    const { image: base } = await openImage({
      repository,
      privateKey,
      point,
      diskName: description.disk,
      pool,
      onDamage,
    })
    const files = await OverlayFiles.open(directory, description)
    const handOver = await createHandOver(settings.handOverDirectory)
    const progress = reporter.progress('overlay commit')
    try {
      const image = new OverlayImage(base, files)
      const totalBytes = [...image.changedBlocks()].length * image.blockBytes
      return await keepChanges({
        repository,
        point,
        disk: chooseDisk(point, description.disk),
        image,
        blocks: image.changedBlocks(),
        handOver,
        threads: Math.min(availableParallelism(), ingestThreadsMax),
        clock,
        signal,
        onProgress: ({ doneBytes }) => {
          progress.update({ doneBytes, totalBytes })
        },
      })
    } finally {
      progress.end()
      await handOver.remove()
      await files.close()
    }
  })
}
