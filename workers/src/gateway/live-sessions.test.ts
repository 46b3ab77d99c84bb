import assert from 'node:assert/strict'
import { test } from 'node:test'
import { encodeDocument } from '@strata/shared/format/document.ts'
import { sessionName } from '@strata/shared/format/names.ts'
import { sessionType } from '@strata/shared/format/session.ts'
import { makeTestRepository } from '@strata/shared/testing/test-repository.ts'
import { testSession } from '@strata/shared/testing/test-map.ts'
import { LiveSessions } from './live-sessions.ts'

test('whoever names another set for a session keeps its endpoint from nothing, also at the same moment', async () => {
  const { repository } = makeTestRepository()
  const session = testSession(1)
  const set = repository.setIdOf('web1')
  const other = repository.setIdOf('web2')
  const name = sessionName(repository.placeOf(set), session)
  const document = {
    strata: 'session',
    version: 1,
    session,
    setName: 'web1',
    kind: 'full',
    chain: 'c'.repeat(32),
    base: null,
    sequenceAtOpen: 0,
    disks: [{ name: 'disk', sizeBytes: 65_536, blockBytes: 65_536, identity: {} }],
    openedAt: '2026-01-01T00:00:00.000Z',
    expiresAt: '2026-01-15T00:00:00.000Z',
    warnings: [],
  } as const
  const bytes = encodeDocument(
    sessionType,
    name,
    { ...document, disks: [...document.disks], warnings: [] },
    repository.indexKeys,
    repository.nonce(),
  )
  await repository.store.put(name, [bytes])
  const sessions = new LiveSessions(repository)
  const foreign = { set: other, session }
  const [refused, found] = await Promise.allSettled([sessions.find(foreign), sessions.find({ set, session })])
  assert.equal(refused.status, 'rejected')
  assert.equal(found.status, 'fulfilled')
  await assert.rejects(sessions.find(foreign), { code: 'E_SESSION_UNKNOWN' })
  assert.equal((await sessions.find({ set, session })).document.setName, 'web1')
})
