import { koffi } from './libc.ts'
import { systemError } from './system-error.ts'

let copy: ReturnType<ReturnType<ReturnType<typeof koffi>['load']>['func']> | undefined

/** Linux alone has the call. */
export const canCopyRanges = process.platform === 'linux'

/**
 * copy_file_range(2): has the system copy up to `length` bytes of `from`, from `offset` on, to where `to` stands, which
 * moves on. No byte of them passes this process; file systems that can share them or copy them on their server do so.
 *
 * On a thread of its own, since it waits for disks. Both must stay open until it resolves.
 *
 * @returns how many bytes were copied; 0: `from` ends there. Throws the system's error.
 */
export async function copyRange(from: number, offset: number, to: number, length: number): Promise<number> {
  copy ??= koffi()
    .load(null)
    .func('int64_t copy_file_range(int from, int64_t *offset, int to, void *position, size_t length, uint flags)')
  const { promise, resolve, reject } = Promise.withResolvers<number>()
  copy.async(from, [offset], to, null, length, 0, (_: unknown, copied: number) => {
    if (copied >= 0) resolve(copied)
    // That of the thread which made the call: koffi keeps it for its answer, and no longer.
    else reject(systemError('copy_file_range', koffi().errno()))
  })
  return await promise
}
