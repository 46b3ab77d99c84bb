import { closeSync, openSync } from 'node:fs'
import { koffi } from './libc.ts'

/** flock(2) */
const exclusive = 2
const nonBlocking = 4

let flock: ReturnType<ReturnType<ReturnType<typeof koffi>['load']>['func']> | undefined

export interface FileLock {
  release(): void
}

/**
 * Holds the file for this process alone, making it where it is missing; undefined: another process has it. The system
 * takes the lock back when the process ends, however it ends. Where there is no flock (Windows) nobody is kept out.
 */
export function lockFile(path: string): FileLock | undefined {
  const fd = openSync(path, 'a', 0o600)
  if (process.platform !== 'win32') {
    flock ??= koffi().load(null).func('int flock(int fd, int operation)')
    if ((flock(fd, exclusive | nonBlocking) as number) !== 0) {
      closeSync(fd)
      return undefined
    }
  }
  return {
    release: () => {
      closeSync(fd)
    },
  }
}
