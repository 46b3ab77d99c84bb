import { setFlagsFromString } from 'node:v8'
import { serverFileThreads } from '@strata/shared/limits.ts'

/**
 * What a process needs to serve many at once. To be called before anything else: before it has opened the first file.
 *
 * Files are read, written and synced by threads of libuv, four unless it is told otherwise, and each pack that is made
 * durable holds one of them for as long as its disk takes.
 *
 * V8 collects garbage, all of it, after each 64 MiB of memory outside its heap, which here is every segment that comes in;
 * requests of others wait meanwhile. With this flag such memory counts like all other.
 */
export function prepareServerProcess(): void {
  process.env['UV_THREADPOOL_SIZE'] ??= String(serverFileThreads)
  setFlagsFromString('--external-memory-accounted-in-global-limit')
}
