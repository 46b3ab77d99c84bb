import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { serverEventCharsMax } from '@strata/shared/limits.ts'
import { readEvents, type ServerEvent } from './server-events.ts'

async function* inPieces(text: string, sizes: readonly number[]): AsyncGenerator<Uint8Array> {
  const bytes = Buffer.from(text, 'utf8')
  let at = 0
  for (const size of sizes) {
    yield await Promise.resolve(bytes.subarray(at, at + size))
    at += size
  }
  yield bytes.subarray(at)
}

async function read(text: string, sizes: readonly number[] = []): Promise<ServerEvent[]> {
  return await Array.fromAsync(readEvents(inPieces(text, sizes), () => undefined))
}

test('events are the same however the stream is cut, comments are passed over', async () => {
  const events = [
    { event: 'progress', data: { segmentsPending: 3 } },
    { event: 'committed', data: { name: 'Büro ✓' } },
  ]
  const text = events.map(({ event, data }) => `: \n\nevent: ${event}\ndata: ${JSON.stringify(data)}\n\n`).join('')
  await fc.assert(
    fc.asyncProperty(fc.array(fc.integer({ min: 0, max: 9 }), { maxLength: 60 }), async (sizes) => {
      assert.deepEqual(await read(text, sizes), events)
    }),
  )
})

test('an event that was cut off is none', async () => {
  assert.deepEqual(await read('event: committed\ndata: {"a": 1}\n'), [])
})

test('what is no event of ours is refused, and costs no more memory than it may', async () => {
  await assert.rejects(read('event: committed\ndata: {"a": \n\n'), { code: 'E_SERVICE_ANSWER' })
  await assert.rejects(read('x'.repeat(serverEventCharsMax + 1), [serverEventCharsMax]), { code: 'E_SERVICE_ANSWER' })
})
