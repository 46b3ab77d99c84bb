import assert from 'node:assert/strict'
import { test } from 'node:test'
import { segmentsPerSessionMax } from '../limits.ts'
import { ramp } from '../testing/layout.ts'
import { testIndexKeys } from '../testing/test-repository.ts'
import { decodeDocument, encodeDocument, parseDocument } from './document.ts'
import { sessionEndType, sessionType, type Session, type SessionEnd } from './session.ts'

const id = (digit: string): string => digit.repeat(32)
const keys = testIndexKeys()

const session: Session = {
  strata: 'session',
  version: 1,
  session: id('1'),
  setName: 'machine',
  kind: 'full',
  chain: id('2'),
  base: null,
  sequenceAtOpen: 0,
  disks: [{ name: 'd', sizeBytes: 1, blockBytes: 65_536, identity: {} }],
  openedAt: '2026-01-02T03:04:05.678Z',
  expiresAt: '2026-01-16T03:04:05.678Z',
  warnings: [],
}

const end: SessionEnd = {
  strata: 'session-end',
  version: 1,
  session: id('1'),
  segments: 0,
  contentRoots: ['ef'.repeat(32)],
  capturedAt: '2026-01-02T03:00:00.000Z',
  consistency: 'changing',
  machine: { hostName: 'h', system: 's', architecture: 'a' },
  scannedBytes: 1,
  changedBytes: 0,
  warnings: [],
}

test('both documents of a session are read as they were written', () => {
  const nonce = ramp(0, 24)
  assert.deepEqual(
    decodeDocument(sessionType, 'open', encodeDocument(sessionType, 'open', session, keys, nonce), keys),
    session,
  )
  assert.deepEqual(
    decodeDocument(sessionEndType, 'end', encodeDocument(sessionEndType, 'end', end, keys, nonce), keys),
    end,
  )
})

test('one cannot stand for the other', () => {
  const bytes = encodeDocument(sessionType, 'same', session, keys, ramp(0, 24))
  assert.throws(() => decodeDocument(sessionEndType, 'same', bytes, keys), { code: 'E_FORMAT_KIND' })
})

const parse = (content: unknown): unknown => parseDocument(sessionType, 'open', Buffer.from(JSON.stringify(content)))
const parseEnd = (content: unknown): unknown =>
  parseDocument(sessionEndType, 'end', Buffer.from(JSON.stringify(content)))
const damaged = { code: 'E_FORMAT_DAMAGED' }

test('no disks, and negative numbers are damaged', () => {
  assert.throws(() => parse({ ...session, disks: [] }), damaged)
  assert.throws(() => parse({ ...session, sequenceAtOpen: -1 }), damaged)
  assert.throws(() => parseEnd({ ...end, contentRoots: [] }), damaged)
  assert.throws(() => parseEnd({ ...end, segments: segmentsPerSessionMax + 1 }), damaged)
})

test('every member is needed', () => {
  for (const member of Object.keys(session).slice(1)) {
    assert.throws(() => parse({ ...session, [member]: undefined }), damaged, member)
  }
  for (const member of Object.keys(end).slice(1)) {
    assert.throws(() => parseEnd({ ...end, [member]: undefined }), damaged, member)
  }
})
