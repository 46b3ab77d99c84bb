import { mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { systemClock } from '@strata/shared/clock.ts'
import { backupSet, type BackupOptions, type BackupOutcome } from '../backup.ts'
import { MemoryUplink, type MemoryUplinkSettings } from './memory-uplink.ts'

/** Directories and a service for one test; all of it goes away with `remove`. */
export class Workbench {
  readonly directory = mkdtempSync(join(tmpdir(), 'strata-agent-'))
  readonly spool = join(this.directory, 'spool')
  readonly state = join(this.directory, 'state')
  readonly uplink: MemoryUplink

  constructor(settings: Omit<MemoryUplinkSettings, 'spoolDirectory'> = {}) {
    mkdirSync(this.spool)
    this.uplink = new MemoryUplink({ ...settings, spoolDirectory: this.spool })
  }

  path(name: string): string {
    return join(this.directory, name)
  }

  /** Backs up one source, the disk `d`, or those of `options`. */
  async backup(source: string, options: Partial<BackupOptions> = {}): Promise<BackupOutcome> {
    return await backupSet({
      uplink: this.uplink,
      sources: [{ name: 'd', path: this.path(source) }],
      setName: 'a set',
      kind: 'auto',
      blockBytes: 65536,
      stateDirectory: this.state,
      allowChanging: false,
      clock: systemClock,
      scanThreads: 2,
      ...options,
    })
  }

  /** What a run left behind: spool files, and unfinished files of the state directory. */
  leftOvers(): string[] {
    const files = readdirSync(this.directory, { recursive: true }) as string[]
    return files.filter((name) => name.endsWith('.segment') || name.endsWith('.new'))
  }

  digestFile(disk = 'd'): string {
    return join(this.state, 'sets', this.uplink.set, `${disk}.digests`)
  }

  remove(): void {
    rmSync(this.directory, { recursive: true, force: true })
  }
}
