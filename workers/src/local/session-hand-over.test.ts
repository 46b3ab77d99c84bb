import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { ingestJobSchema, ingestQueue, type IngestJob } from '@strata/shared/queue/ingest-job.ts'
import { parseJob } from '@strata/shared/queue/jobs.ts'
import { createSessionHandOver, readDataKey, removeSessionHandOver } from './session-hand-over.ts'

const keyId = 'a'.repeat(32)

async function directoryFor(t: TestContext): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'strata-hand-over-'))
  t.after(() => rm(directory, { recursive: true }))
  return directory
}

test('the data key of a session is read back, and goes with the session', async (t) => {
  const directory = await directoryFor(t)
  const key = new Uint8Array(randomBytes(32))
  const session = await createSessionHandOver(directory, { keyId, key })
  assert.deepEqual(await readDataKey(directory, session.name, keyId), key)
  await removeSessionHandOver(session)
  assert.equal(existsSync(session.path), false)
  await assert.rejects(readDataKey(directory, session.name, keyId), { code: 'E_HANDOVER_LOST' })
})

test('a key that is not the one of the session is not used', async (t) => {
  const directory = await directoryFor(t)
  const session = await createSessionHandOver(directory, { keyId, key: randomBytes(32) })
  await assert.rejects(readDataKey(directory, session.name, 'b'.repeat(32)), { code: 'E_HANDOVER_LOST' })
  const path = join(session.path, 'key')
  await writeFile(path, (await readFile(path)).subarray(16))
  await assert.rejects(readDataKey(directory, session.name, keyId), { code: 'E_HANDOVER_LOST' })
})

test('a key that is there and cannot be read is told from one that is gone', async (t) => {
  const directory = await directoryFor(t)
  const session = await createSessionHandOver(directory, { keyId, key: randomBytes(32) })
  const path = join(session.path, 'key')
  await rm(path)
  // Also root cannot read a directory as a file.
  await mkdir(path)
  await assert.rejects(readDataKey(directory, session.name, keyId), { code: 'E_HANDOVER_IO', message: /EISDIR/ })
})

test('a job names nothing outside the hand-over directory of its worker', async (t) => {
  const directory = await directoryFor(t)
  const { name } = await createSessionHandOver(directory, { keyId, key: randomBytes(32) })
  const ids = { tenant: keyId, set: keyId, session: keyId, chain: keyId }
  const job: IngestJob = { ...ids, segment: 0, handOver: name, segmentFile: `${keyId}-1.segment` }
  assert.deepEqual(parseJob(ingestQueue, ingestJobSchema, job), job)
  const refused = [
    { handOver: '/etc' },
    { handOver: '..' },
    { handOver: `${name}/..` },
    { handOver: `../${name}` },
    { segmentFile: '/etc/shadow' },
    { segmentFile: `../${keyId}-1.segment` },
    { segmentFile: 'key' },
  ]
  for (const members of refused) {
    assert.throws(() => parseJob(ingestQueue, ingestJobSchema, { ...job, ...members }), { code: 'E_BUG' })
  }
})
