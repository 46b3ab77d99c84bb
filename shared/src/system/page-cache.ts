import { koffi } from './libc.ts'

/** posix_fadvise(2) */
const dontNeedAdvice = 4
/** sync_file_range(2): begin, and do not wait */
const writeFlag = 2

type SystemCall = ReturnType<ReturnType<ReturnType<typeof koffi>['load']>['func']>

let advise: SystemCall | undefined
let syncRange: SystemCall | undefined

/**
 * Makes the system forget what it has cached of a file or device (of `length` bytes from `offset` on; 0: to its end) and
 * written back; what is mapped or changed it keeps.
 *
 * Whoever reads or writes much once takes the cache from those who need it, and pays for it: memory that was
 * used a moment ago is at hand, while the machine (a virtual one above all) must first find more.
 *
 * Advice: nothing depends on it, and where there is no such call nothing happens. On a thread of its own, since it starts
 * to write back what is changed, and a disk may hang in that. `fd` must stay open until it resolves.
 */
export async function dropCache(fd: number, offset = 0, length = 0): Promise<void> {
  if (process.platform !== 'linux') return
  advise ??= koffi().load(null).func('int posix_fadvise(int fd, int64_t offset, int64_t length, int advice)')
  const { promise, resolve } = Promise.withResolvers<undefined>()
  advise.async(fd, offset, length, dontNeedAdvice, () => {
    resolve(undefined)
  })
  await promise
}

/**
 * Has the system begin to write these bytes to the disk, which it would do only at the next sync, with nothing else to do
 * meanwhile. Advice as well: it makes nothing durable.
 */
export async function beginWriteBack(fd: number, offset: number, length: number): Promise<void> {
  if (process.platform !== 'linux') return
  syncRange ??= koffi().load(null).func('int sync_file_range(int fd, int64_t offset, int64_t length, uint flags)')
  const { promise, resolve } = Promise.withResolvers<undefined>()
  syncRange.async(fd, offset, length, writeFlag, () => {
    resolve(undefined)
  })
  await promise
}
