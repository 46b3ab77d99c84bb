import assert from 'node:assert/strict'
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import type { StagingArea } from '@strata/shared/staging/staging-area.ts'
import { makeTestRepository } from '@strata/shared/testing/test-repository.ts'
import { runIngest } from './ingest-job.ts'
import type { Ingest } from './ingest-segment.ts'

test('a staged segment of another length than was acknowledged is refused, and goes', async (t) => {
  const handOverDirectory = await mkdtemp(join(tmpdir(), 'strata-ingest-'))
  t.after(() => rm(handOverDirectory, { recursive: true }))
  const { repository } = makeTestRepository()
  const deleted: string[] = []
  const packed: number[] = []
  const staging = {
    get: () => Promise.resolve(new Uint8Array(100)),
    delete: (name: string) => {
      deleted.push(name)
      return Promise.resolve()
    },
  } as unknown as StagingArea
  const ingest = {
    run: () => {
      packed.push(1)
      return Promise.resolve({ packBytes: 1 })
    },
  } as unknown as Ingest
  const ids = { tenant: repository.tenant, set: 'b'.repeat(32), session: 'c'.repeat(32) }
  const run = (bytes: number): Promise<unknown> => {
    const job = { ...ids, from: 'staging', segment: 0, attempt: 'd'.repeat(16), bytes } as const
    return runIngest({ ingest, handOverDirectory, staging }, repository, job, 'small')
  }
  for (const bytes of [99, 101]) await assert.rejects(run(bytes), { code: 'E_SEGMENT_INVALID' })
  assert.deepEqual([packed.length, deleted.length], [0, 2])
  assert.deepEqual(await run(100), { packBytes: 1 })
  assert.deepEqual([packed.length, deleted.length], [1, 3])
  assert.deepEqual(await readdir(handOverDirectory), [])
})
