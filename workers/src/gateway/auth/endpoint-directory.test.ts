import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Endpoint } from '@strata/shared/format/endpoint.ts'
import { endpointCacheMsMax, endpointMissingMsMax } from '@strata/shared/limits.ts'
import type { Versioned } from '@strata/shared/repository/registry/versioned.ts'
import { asId, type EndpointId } from '@strata/shared/types.ts'
import { EndpointDirectory, type DirectoryOptions } from './endpoint-directory.ts'
import { testEndpoint } from '../../testing/test-endpoint.ts'

const id = (number: number): EndpointId => asId<EndpointId>(number.toString(16).padStart(32, '0'))

/** A registry that says what it was asked, and a clock that is set by hand. */
function makeDirectory(entriesMax?: number) {
  const endpoints = new Map<string, Versioned<Endpoint>>()
  const asked: { readonly id: string; readonly known: number }[] = []
  let nowMs = 0
  let answered: Promise<void> = Promise.resolve()
  const options: DirectoryOptions = {
    endpoints: {
      latest: async (asking, known) => {
        asked.push({ id: asking, known: known?.version ?? 0 })
        const found = endpoints.get(asking)
        await answered
        return found
      },
    },
    clock: { nowMs: () => 0, monotonicMs: () => nowMs, sleep: () => Promise.resolve() },
    ...(entriesMax === undefined ? {} : { entriesMax }),
  }
  return {
    directory: new EndpointDirectory(options),
    endpoints,
    asked,
    add: (number: number, version = 1) => {
      endpoints.set(id(number), { id: id(number), version, document: testEndpoint(id(number)) })
    },
    pass: (ms: number) => (nowMs += ms),
    /** Answers wait until the result is called. */
    holdAnswers: (): (() => void) => {
      const { promise, resolve } = Promise.withResolvers<undefined>()
      answered = promise
      return () => {
        resolve(undefined)
      }
    },
  }
}

test('an endpoint is looked up once in its time, and from then on by its next version', async () => {
  const { directory, add, asked, pass } = makeDirectory()
  add(1)
  assert.equal((await directory.get(id(1)))?.version, 1)
  add(1, 2)
  pass(endpointCacheMsMax)
  assert.equal((await directory.get(id(1)))?.version, 1)
  pass(1)
  assert.equal((await directory.get(id(1)))?.version, 2)
  assert.deepEqual(asked, [
    { id: id(1), known: 0 },
    { id: id(1), known: 1 },
  ])
})

test('its age counts from when the store was asked, not from when it answered', async () => {
  const { directory, add, asked, pass, holdAnswers } = makeDirectory()
  add(1)
  const answer = holdAnswers()
  const got = directory.get(id(1))
  pass(endpointCacheMsMax)
  answer()
  await got
  await directory.get(id(1))
  pass(1)
  await directory.get(id(1))
  assert.equal(asked.length, 2)
})

test('many requests at once are one question, and who asks for something newer gets it', async () => {
  const { directory, add, asked, pass, holdAnswers } = makeDirectory()
  add(1)
  const answer = holdAnswers()
  const early = Array.from({ length: 50 }, () => directory.get(id(1)))
  assert.equal(asked.length, 1)
  pass(100)
  add(1, 2)
  const fresh = directory.get(id(1), 50)
  assert.equal(asked.length, 2)
  answer()
  assert.deepEqual(new Set((await Promise.all(early)).map((one) => one?.version)), new Set([1]))
  assert.equal((await fresh)?.version, 2)
})

test('that there is none is believed for a shorter time', async () => {
  const { directory, add, asked, pass } = makeDirectory()
  assert.equal(await directory.get(id(1)), undefined)
  add(1)
  pass(endpointMissingMsMax)
  assert.equal(await directory.get(id(1)), undefined)
  pass(1)
  assert.equal((await directory.get(id(1)))?.version, 1)
  assert.equal(asked.length, 2)
})

test('a store that does not answer is an error, also for an endpoint that is known; it is asked again', async () => {
  const { directory, endpoints, add, pass } = makeDirectory()
  add(1)
  await directory.get(id(1))
  pass(endpointCacheMsMax + 1)
  const get = endpoints.get.bind(endpoints)
  endpoints.get = () => {
    throw new Error('away')
  }
  await assert.rejects(directory.get(id(1)), /away/)
  endpoints.get = get
  assert.equal((await directory.get(id(1)))?.version, 1)
})

test('it holds a bounded number, and ids that strangers make up push no endpoint out', async () => {
  const { directory, add, asked } = makeDirectory(10)
  for (let number = 1; number <= 10; number += 1) add(number)
  for (let number = 1; number <= 10; number += 1) await directory.get(id(number))
  for (let number = 100; number < 200; number += 1) await directory.get(id(number))
  asked.length = 0
  for (let number = 1; number <= 10; number += 1) await directory.get(id(number))
  assert.equal(asked.length, 0)
  // One more endpoint than there is room for: the one that was looked up longest ago goes.
  add(11)
  await directory.get(id(11))
  await directory.get(id(2))
  await directory.get(id(1))
  assert.deepEqual(
    asked.map((one) => one.id),
    [id(11), id(1)],
  )
})
