import * as v from 'valibot'
import { closeSync, fsyncSync, openSync, readSync, renameSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { StrataError, systemErrorCode } from '@strata/shared/errors.ts'
import { documentHead, idSchema, parseDocument } from '@strata/shared/format/document.ts'
import { list, wholeNumber, type Fitting } from '@strata/shared/format/schema.ts'
import {
  clockMsMax,
  scheduleAttemptsMax,
  scheduleRunsRememberedMax,
  scheduleStateBytesMax,
} from '@strata/shared/limits.ts'
import { makeStateDirectory, stateUnwritable, syncDirectory } from '../state-directory.ts'

/**
 * `<state>/schedule/state.json`: the last policy understood and the notes of runs, in one file, so that they change
 * together. It is replaced as a whole, and is on the disk when `write` returns.
 */
const timeSchema = wholeNumber(0, clockMsMax)

const scheduleStateSchema = v.object({
  ...documentHead('schedule', 1),
  policy: v.object({ id: idSchema, version: wholeNumber(1), document: v.unknown() }),
  log: v.object({
    fromMs: timeSchema,
    seenMs: timeSchema,
    runs: list(
      v.object({
        scheduledMs: v.pipe(v.number(), v.integer()),
        startedMs: timeSchema,
        finishedMs: v.nullable(timeSchema),
        attempts: wholeNumber(1, scheduleAttemptsMax),
      }),
      { max: scheduleRunsRememberedMax },
    ),
  }),
})
type ScheduleState = Fitting<typeof scheduleStateSchema>
/** The policy as it was received, and the notes. */
export type KeptState = Pick<ScheduleState, 'policy' | 'log'>

export class ScheduleStateFile {
  readonly path: string

  constructor(stateDirectory: string) {
    this.path = join(stateDirectory, 'schedule', 'state.json')
  }

  /** undefined: there is none yet. Errors: E_FORMAT_*, and those of the system, when it cannot be read. */
  read(): KeptState | undefined {
    const bytes = this.#bytes()
    return bytes === undefined
      ? undefined
      : parseDocument({ title: 'schedule', version: 1, schema: scheduleStateSchema }, this.path, bytes)
  }

  /** Error: E_STATE_UNWRITABLE; then the file is what it was. */
  write(kept: KeptState): void {
    const state: ScheduleState = { strata: 'schedule', version: 1, ...kept }
    makeStateDirectory(dirname(this.path))
    const temporary = `${this.path}.new`
    try {
      const fd = openSync(temporary, 'w', 0o600)
      try {
        writeFileSync(fd, JSON.stringify(state))
        fsyncSync(fd)
      } finally {
        closeSync(fd)
      }
      renameSync(temporary, this.path)
      syncDirectory(dirname(this.path))
    } catch (error) {
      throw stateUnwritable(this.path, error)
    }
  }

  #bytes(): Uint8Array | undefined {
    let fd
    try {
      fd = openSync(this.path, 'r')
    } catch (error) {
      if (systemErrorCode(error) === 'ENOENT') return undefined
      throw error
    }
    try {
      return readToEnd(fd, this.path)
    } finally {
      closeSync(fd)
    }
  }
}

function readToEnd(fd: number, path: string): Uint8Array {
  const buffer = new Uint8Array(scheduleStateBytesMax + 1)
  let filled = 0
  while (filled < buffer.length) {
    const count = readSync(fd, buffer, filled, buffer.length - filled, null)
    if (count === 0) return buffer.slice(0, filled)
    filled += count
  }
  throw new StrataError('E_FORMAT_DAMAGED', `${path} is longer than ${String(scheduleStateBytesMax)} bytes`)
}
