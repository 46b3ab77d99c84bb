import type { BackupOutcome } from '@strata/agent/backup.ts'
import type { StoreTotals } from '@strata/shared/store/decorators/metrics.ts'
import type { Context } from '../context.ts'
import { formatBytes, formatCount, formatDuration, formatPercent, formatRate, shownIdChars } from './bytes.ts'
import { factLines } from './table.ts'

/** What a backup has made. `requests`: to the store, where they are known here. */
export function reportBackup(
  { reporter }: Context,
  outcome: BackupOutcome,
  requests: StoreTotals | null,
  durationMs: number,
): void {
  const {
    point,
    set: setId,
    setName,
    chain,
    kind,
    disks,
    base,
    sizeBytes,
    bytesRead,
    changedBytes,
    storedBytes,
    ...others
  } = outcome
  const document = {
    point,
    set: setName,
    setId,
    chain,
    kind,
    base,
    disks,
    sizeBytes,
    bytesRead,
    changedBytes,
    storedBytes,
    ...others,
    durationMs,
    requests,
  }
  const share = changedBytes === 0 ? '' : `, ${formatPercent(storedBytes, changedBytes)} of what changed`
  const asked = requests === null ? '' : `, ${formatCount(requests.requests, 'request')}`
  reporter.result(
    document,
    factLines([
      ['point', point],
      ['set', `${setName}: ${disks.map(({ name }) => name).join(', ')}`],
      [
        'kind',
        `${kind}${base === null ? '' : ` on ${base.point.slice(0, shownIdChars)}`}, chain ${chain.slice(0, shownIdChars)}`,
      ],
      ['size', `${formatBytes(sizeBytes)}, ${formatBytes(bytesRead)} of it read`],
      ['changed', formatBytes(changedBytes)],
      ['stored', `${formatBytes(storedBytes)}${share}${asked}`],
      ['time', `${formatDuration(durationMs)}, ${formatRate(sizeBytes, durationMs)}`],
    ]),
  )
}
