import { koffi } from './libc.ts'
import { systemError } from './system-error.ts'

/** fallocate(2): FALLOC_FL_KEEP_SIZE and FALLOC_FL_PUNCH_HOLE */
const punchKeepingSize = 1 | 2

let allocate: ReturnType<ReturnType<ReturnType<typeof koffi>['load']>['func']> | undefined

/** Linux alone has the call. */
export const canPunchHoles = process.platform === 'linux'

/**
 * Gives back what a part of a file takes: it reads as zeros then. On a thread of its own; `fd` must stay open until it
 * resolves. Throws the system's error, EOPNOTSUPP where the file system has no holes.
 */
export async function punchHole(fd: number, offset: number, length: number): Promise<void> {
  allocate ??= koffi().load(null).func('int fallocate(int fd, int mode, int64_t offset, int64_t length)')
  const { promise, resolve, reject } = Promise.withResolvers<undefined>()
  allocate.async(fd, punchKeepingSize, offset, length, (_: unknown, result: number) => {
    if (result === 0) resolve(undefined)
    else reject(systemError('fallocate', koffi().errno()))
  })
  await promise
}
