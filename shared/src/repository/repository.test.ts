import assert from 'node:assert/strict'
import { test } from 'node:test'
import { makeTestRepository, testKey } from '../testing/test-repository.ts'
import { asId, type SessionId } from '../types.ts'
import { Repository } from './repository.ts'

test("a session's transport key stays the same when the index key is replaced", () => {
  const { repository } = makeTestRepository()
  const { ingestKeys } = repository
  const indexKeys = new Map([...ingestKeys.indexKeys, [2, testKey('second')]])
  const later = new Repository(repository.store, { ...ingestKeys, indexKeys, currentGeneration: 2 }, () => {
    throw new Error('no chance is needed')
  })
  const session = asId<SessionId>('5'.repeat(32))
  assert.deepEqual(later.transportKeyOf(session), repository.transportKeyOf(session))
  assert.notDeepEqual(repository.transportKeyOf(asId<SessionId>('6'.repeat(32))), repository.transportKeyOf(session))
})
