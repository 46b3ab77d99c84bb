import type { BackupProgress } from '@strata/agent/backup.ts'
import { formatBytes } from './bytes.ts'
import { noProgress, type Progress } from './progress.ts'
import type { Reporter } from './reporter.ts'

/** Disks are read one after the other, and each has a bar of its own. */
export class DiskProgress {
  readonly #reporter: Reporter
  readonly #disks: readonly string[]
  #disk: string | undefined
  #progress: Progress = noProgress

  constructor(reporter: Reporter, sources: readonly { readonly name: string }[]) {
    this.#reporter = reporter
    this.#disks = sources.map(({ name }) => name)
  }

  update({ disk, pass, bytesDone, bytesTotal, changedBytes }: Extract<BackupProgress, { phase: 'scan' }>): void {
    if (disk !== this.#disk) {
      this.end()
      this.#disk = disk
      this.#progress = this.#reporter.progress(this.#label(disk))
    }
    const again = pass > 1 ? `, pass ${String(pass)}` : ''
    const detail = `${formatBytes(changedBytes)} changed${again}`
    this.#progress.update({ doneBytes: bytesDone, totalBytes: bytesTotal, detail })
  }

  end(): void {
    this.#progress.end()
  }

  #label(disk: string): string {
    const count = this.#disks.length
    const place = count === 1 ? '' : ` (${String(this.#disks.indexOf(disk) + 1)} of ${String(count)})`
    return `backup ${disk}${place}`
  }
}
