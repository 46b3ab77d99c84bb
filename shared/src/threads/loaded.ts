import { parentPort } from 'node:worker_threads'

/** What a thread of a `ThreadPool` posts once its modules are there. */
export const loadedMessage = 'loaded'

/** To be called by the module of a thread, whose imports are done when it is. */
export function announceLoaded(): void {
  parentPort?.postMessage(loadedMessage)
}
