import assert from 'node:assert/strict'
import {
  appendFileSync,
  globSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { digestBytes } from '@strata/shared/format/digest.ts'
import type { OpenedSession } from '@strata/shared/protocol/uplink.ts'
import { SessionJournal } from './session-journal.ts'

const session = {
  set: 'a'.repeat(32),
  setName: 'web1',
  session: 'b'.repeat(32),
  sequenceAtOpen: 3,
  kind: 'incremental',
  base: { point: 'c'.repeat(32), sequence: 3, manifestDigest: 'd'.repeat(64) },
  disks: [{ name: 'sda', sizeBytes: 1_000_000, blockBytes: 65_536, identity: {} }],
} as unknown as OpenedSession

function stateFor(t: TestContext): string {
  const directory = mkdtempSync(join(tmpdir(), 'strata-journal-'))
  t.after(() => {
    rmSync(directory, { recursive: true })
  })
  return directory
}

function fileIn(state: string, name: string): string {
  return globSync(join(state, 'runs', '*', name))[0] ?? ''
}

test('a run that was cut off finds its session, and which segments nobody answered for', (t) => {
  const state = stateFor(t)
  const begun = SessionJournal.begin(state, session)
  for (const segment of [0, 1, 2, 3]) begun.sending(segment, 0, [])
  for (const segment of [0, 2]) begun.acknowledged(segment, 0, [])
  begun.close()
  const found = SessionJournal.open(state, 'web1')
  assert.ok(found !== null)
  assert.deepEqual([found.head.session, found.head.sequenceAtOpen], [session.session, 3])
  assert.deepEqual([found.nextSegment, found.unacknowledged], [4, [1, 3]])
  assert.ok(found.isOf([{ name: 'sda', sizeBytes: 1_000_000 }]))
  assert.ok(!found.isOf([{ name: 'sda', sizeBytes: 1_000_001 }]) && !found.isOf([]))
  assert.equal(SessionJournal.open(state, 'web2'), null)
  found.remove()
  assert.equal(SessionJournal.open(state, 'web1'), null)
})

test('a line that was cut off says nothing, and is not made whole by the next one', (t) => {
  const state = stateFor(t)
  const begun = SessionJournal.begin(state, session)
  begun.sending(1, 0, [])
  begun.acknowledged(1, 0, [])
  begun.close()
  appendFileSync(fileIn(state, 'segments'), 's 1')
  const second = SessionJournal.open(state, 'web1')
  assert.deepEqual([second?.nextSegment, second?.unacknowledged], [2, []])
  second?.sending(2, 0, [])
  second?.close()
  const third = SessionJournal.open(state, 'web1')
  assert.deepEqual([third?.nextSegment, third?.unacknowledged], [3, [2]])
  third?.close()
})

test('a run that dies before it has noted that a segment was acknowledged sends its blocks again', async (t) => {
  const state = stateFor(t)
  const digest = new Uint8Array(digestBytes).fill(7)
  const entries = [{ state: 'data', block: 1, digest, offset: 0, length: 65_536 }] as const
  const begun = SessionJournal.begin(state, session)
  begun.sending(0, 0, entries)
  const path = fileIn(state, 'segments')
  renameSync(path, `${path}-aside`)
  mkdirSync(path)
  assert.throws(() => {
    begun.acknowledged(0, 0, entries)
  })
  begun.close()
  rmSync(path, { recursive: true })
  renameSync(`${path}-aside`, path)
  const found = SessionJournal.open(state, 'web1')
  assert.deepEqual(found?.unacknowledged, [0])
  const nothing = { page: () => Promise.resolve(null), pageWithData: () => Promise.resolve(Infinity) }
  const page = await found.sentBlocks(0).over(nothing).page(0)
  assert.notDeepEqual(page?.slice(digestBytes, 2 * digestBytes), digest)
  found.close()
})

test('a journal whose head is cut off, altered or of a newer agent is none', (t) => {
  const state = stateFor(t)
  SessionJournal.begin(state, session).close()
  const path = fileIn(state, 'session.json')
  const text = readFileSync(path, 'utf8')
  for (const other of [
    text.slice(0, -1),
    text.replace('"version":1', '"version":2'),
    text.replace(/b{32}/, 'nonsense'),
  ]) {
    writeFileSync(path, other)
    assert.equal(SessionJournal.open(state, 'web1'), null, other)
  }
  truncateSync(path)
  assert.equal(SessionJournal.open(state, 'web1'), null)
})

test('a session that is begun anew starts with nothing sent', (t) => {
  const state = stateFor(t)
  const first = SessionJournal.begin(state, session)
  first.sending(7, 0, [])
  first.close()
  const second = SessionJournal.begin(state, session)
  assert.deepEqual([second.nextSegment, second.unacknowledged], [0, []])
  second.close()
  const found = SessionJournal.open(state, 'web1')
  assert.deepEqual([found?.nextSegment, found?.unacknowledged], [0, []])
  found?.close()
})
