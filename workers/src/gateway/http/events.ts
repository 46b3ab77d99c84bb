import type { FastifyReply } from 'fastify'
import { Readable } from 'node:stream'
import { serverEventsBeatMs } from '@strata/shared/limits.ts'

export interface OutgoingEvent {
  readonly event: string
  readonly data: unknown
}

export type EventSource = AsyncIterable<OutgoingEvent>

/** Server-sent events; a comment now and then keeps what stands between from ending an idle connection. */
export async function answerWithEvents(
  reply: FastifyReply,
  events: EventSource,
  gone: AbortSignal,
): Promise<FastifyReply> {
  return await reply
    .type('text/event-stream')
    .header('cache-control', 'no-store')
    .header('x-accel-buffering', 'no')
    .send(Readable.from(written(events, gone)))
}

async function* written(events: EventSource, gone: AbortSignal): AsyncGenerator<string> {
  // So that the headers go at once, whatever the first event waits for.
  yield ': \n\n'
  const source = events[Symbol.asyncIterator]()
  try {
    let next = source.next()
    while (!gone.aborted) {
      const beat = Promise.withResolvers<'beat'>()
      const timer = setTimeout(() => {
        beat.resolve('beat')
      }, serverEventsBeatMs)
      const end = (): void => {
        beat.resolve('beat')
      }
      gone.addEventListener('abort', end, { once: true })
      let told: Awaited<typeof next> | 'beat'
      try {
        told = await Promise.race([next, beat.promise])
      } finally {
        clearTimeout(timer)
        gone.removeEventListener('abort', end)
      }
      if (told === 'beat') {
        yield ': \n\n'
        continue
      }
      if (told.done === true) return
      yield `event: ${told.value.event}\ndata: ${JSON.stringify(told.value.data)}\n\n`
      next = source.next()
    }
  } finally {
    // One that waits for something that never comes does not hear this before it does; nobody waits for it.
    void source.return?.(undefined)
  }
}
