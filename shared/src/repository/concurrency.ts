import { invariant } from '../errors.ts'

/** Runs `work` on up to `concurrencyMax` items at a time and yields the results in the items' order. */
export async function* mapConcurrently<T, R>(
  items: Iterable<T> | AsyncIterable<T>,
  concurrencyMax: number,
  work: (item: T) => Promise<R>,
): AsyncGenerator<R> {
  invariant(concurrencyMax >= 1, 'at least one at a time')
  const running: Promise<R>[] = []
  try {
    for await (const item of items) {
      const result = work(item)
      // A failure is reported when its turn comes; until then it must not count as unhandled.
      result.catch(() => undefined)
      running.push(result)
      if (running.length >= concurrencyMax) yield await next(running)
    }
    while (running.length > 0) yield await next(running)
  } finally {
    await Promise.allSettled(running)
  }
}

function next<R>(running: Promise<R>[]): Promise<R> {
  const first = running.shift()
  invariant(first !== undefined, 'something is running')
  return first
}
