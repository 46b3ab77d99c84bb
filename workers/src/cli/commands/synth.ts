import { requireSetName } from '@strata/shared/set-name.ts'
import { createStoreMetrics, type StoreTotals } from '@strata/shared/store/decorators/metrics.ts'
import type { ObjectStore } from '@strata/shared/store/object-store.ts'
import { pointId } from '@strata/shared/repository/points.ts'
import { synthesise, type Synthesis } from '../../maintain/synthetic-full/synthesise.ts'
import { exitCodes, type Context, type ExitCode } from '../context.ts'
import { formatBytes, formatCount, formatDuration, formatRate, shownIdChars } from '../output/bytes.ts'
import { factLines } from '../output/table.ts'
import { withStore } from '../store.ts'
import { openGivenTenant } from '../unlock.ts'

export interface SynthOptions {
  readonly set: string
  readonly tenant?: string
}

/** `strata synth`: a new chain out of what is stored. */
export async function synth(context: Context, options: SynthOptions): Promise<ExitCode> {
  const setName = requireSetName(options.set)
  const metrics = createStoreMetrics()
  const result = await withStore(context, (store) => synthesiseIn(context, store, setName, options.tenant), { metrics })
  report(context, setName, result, metrics.totals())
  return exitCodes.success
}

async function synthesiseIn(
  context: Context,
  store: ObjectStore,
  setName: string,
  tenant: string | undefined,
): Promise<Synthesis> {
  const { clock, signal, reporter } = context
  const { repository } = await openGivenTenant(context, store, tenant)
  const progress = reporter.progress(`synth ${setName}`)
  try {
    return await synthesise({
      repository,
      set: repository.setIdOf(setName),
      clock,
      signal,
      onProgress: ({ copiedBytes, doneDiskBytes, totalDiskBytes }) => {
        const detail = `${formatBytes(copiedBytes)} copied`
        progress.update({ doneBytes: doneDiskBytes, totalBytes: totalDiskBytes, detail })
      },
    })
  } finally {
    progress.end()
  }
}

function report({ reporter }: Context, set: string, result: Synthesis, requests: StoreTotals): void {
  const { point, made, serverSideBytes, workerBytes, passes, durationMs } = result
  const { chain, copyOf } = point.manifest
  const document = {
    point: pointId(point),
    set,
    chain,
    made,
    copyOf: made ? (copyOf?.point ?? null) : null,
    serverSideBytes,
    workerBytes,
    endpointBytes: 0,
    passes,
    durationMs,
    requests,
  }
  if (!made) {
    reporter.result(document, [
      `${pointId(point).slice(0, shownIdChars)} is a full, and nothing is built on it yet: there is nothing to do`,
    ])
    return
  }
  const bytes = serverSideBytes + workerBytes
  reporter.result(document, [
    ...factLines([
      ['point', pointId(point)],
      ['copy of', copyOf?.point ?? ''],
      ['chain', chain],
      ['copied', `${formatBytes(serverSideBytes)} by the store, ${formatBytes(workerBytes)} through this process`],
      ['endpoint', 'sent nothing'],
      [
        'time',
        `${formatDuration(durationMs)}, ${formatRate(bytes, durationMs)}, ${formatCount(requests.requests, 'request')}`,
      ],
    ]),
  ])
}
