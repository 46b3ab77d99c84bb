import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { ingestJobSchema, stagedQueues, type HandOverJob } from '@strata/shared/queue/ingest-job.ts'
import { parseJob } from '@strata/shared/queue/jobs.ts'
import { createSessionHandOver, removeSessionHandOver, segmentPathOf } from './session-hand-over.ts'

const id = 'a'.repeat(32)
const session = 'b'.repeat(32)
const segmentFile = `${id}-1.segment`
const job: HandOverJob = { from: 'handOver', tenant: id, set: id, session, segment: 0, segmentFile, sealed: false }

async function directoryFor(t: TestContext): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'strata-hand-over-'))
  t.after(() => rm(directory, { recursive: true, force: true }))
  return directory
}

test('a session has a directory of its own, for this user only, and all of it goes with the session', async (t) => {
  const directory = await directoryFor(t)
  const path = await createSessionHandOver(directory, session)
  assert.equal((await stat(path)).mode & 0o777, 0o700)
  assert.deepEqual(await readdir(path), [])
  await writeFile(join(path, segmentFile), 'plain')
  assert.equal(segmentPathOf(directory, job), join(path, segmentFile))
  await removeSessionHandOver(path)
  assert.equal(existsSync(path), false)
  await removeSessionHandOver(path)
})

test('a directory that cannot be made has no room: its own is gone, or that of another session is in the way', async (t) => {
  const directory = await directoryFor(t)
  await createSessionHandOver(directory, session)
  await assert.rejects(createSessionHandOver(directory, session), { code: 'E_HANDOVER_SPACE', message: /EEXIST/ })
  await rm(directory, { recursive: true })
  await assert.rejects(createSessionHandOver(directory, session), { code: 'E_HANDOVER_SPACE', message: /ENOENT/ })
})

test('a job names nothing outside the hand-over directory of its worker', () => {
  assert.deepEqual(parseJob(stagedQueues.large, ingestJobSchema, job), job)
  const refused = [
    { session: '/etc' },
    { session: '..' },
    { session: '' },
    { session: `${session}/..` },
    { session: `../${session}` },
    { session: session.toUpperCase() },
    { segmentFile: '/etc/shadow' },
    { segmentFile: `../${segmentFile}` },
    { segmentFile: '' },
    { segmentFile: 'key' },
  ]
  for (const members of refused) {
    assert.throws(() => parseJob(stagedQueues.large, ingestJobSchema, { ...job, ...members }), { code: 'E_BUG' })
  }
})
