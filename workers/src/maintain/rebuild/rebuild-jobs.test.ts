import assert from 'node:assert/strict'
import { test } from 'node:test'
import { sessionName } from '@strata/shared/format/names.ts'
import type { CommitJob } from '@strata/shared/queue/commit-job.ts'
import type { StagedJob } from '@strata/shared/queue/ingest-job.ts'
import { stagedName } from '@strata/shared/staging/names.ts'
import { makeTestRepository, standingClock } from '@strata/shared/testing/test-repository.ts'
import { TestSession } from '../../testing/test-session.ts'
import { testStaging } from '../../testing/test-staging.ts'
import { rebuildJobs } from './rebuild-jobs.ts'

function takers() {
  const commits: CommitJob[] = []
  const segments: StagedJob[] = []
  const jobs = {
    commit: (job: CommitJob) => Promise.resolve(void commits.push(job)),
    stage: (job: StagedJob) => Promise.resolve(void segments.push(job)),
  }
  return { commits, segments, jobs }
}

test('sessions that have ended are committed again, and those that are open are left to their agents', async () => {
  const { repository } = makeTestRepository()
  await new TestSession({ repository, number: 1 }).open()
  const ended = await new TestSession({ repository, number: 2, sequenceAtOpen: 7 }).open()
  await ended.end(0, [new Map()])
  const { commits, segments, jobs } = takers()
  assert.deepEqual(await rebuildJobs(repository, undefined, jobs), { commits: 1, segments: 0 })
  const { tenant, set, session } = ended.place
  assert.deepEqual(commits, [{ tenant, set, session, after: 7 }])
  assert.deepEqual(segments, [])
})

test('an end without its beginning, or with one that cannot be read, gives no job', async () => {
  const { repository, store } = makeTestRepository()
  const gone = await new TestSession({ repository, number: 1 }).open()
  await gone.end(0, [new Map()])
  await store.delete(sessionName(gone.place, gone.id))
  const damaged = await new TestSession({ repository, number: 2 }).open()
  await damaged.end(0, [new Map()])
  await store.put(sessionName(damaged.place, damaged.id), [new Uint8Array(100)])
  const { commits, jobs } = takers()
  assert.deepEqual(await rebuildJobs(repository, undefined, jobs), { commits: 0, segments: 0 })
  assert.deepEqual(commits, [])
})

test('what is staged gets its job again, of this tenant only, and what has another name is passed over', async () => {
  const { repository } = makeTestRepository()
  const other = makeTestRepository('other').repository
  const { staging, store } = testStaging(standingClock)
  const { place } = new TestSession({ repository, number: 1 })
  const { tenant, set, session } = place
  const attempt = 'a'.repeat(16)
  await store.put(stagedName({ tenant, set, session, segment: 3, attempt }), [new Uint8Array(5)])
  await store.put(stagedName({ tenant: other.tenant, set, session, segment: 4, attempt }), [new Uint8Array(5)])
  await store.put(`${tenant}/something-else`, [new Uint8Array(5)])
  const { segments, jobs } = takers()
  assert.deepEqual(await rebuildJobs(repository, staging, jobs), { commits: 0, segments: 1 })
  assert.deepEqual(segments, [{ from: 'staging', tenant, set, session, segment: 3, attempt, bytes: 5 }])
})
