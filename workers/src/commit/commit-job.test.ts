import assert from 'node:assert/strict'
import { test } from 'node:test'
import { stagedName } from '@strata/shared/staging/names.ts'
import type { StagingArea } from '@strata/shared/staging/staging-area.ts'
import { makeTestRepository } from '@strata/shared/testing/test-repository.ts'
import { sendAll } from '../testing/dead-sessions.ts'
import { TestSession } from '../testing/test-session.ts'
import { runCommit, type Staged } from './commit-job.ts'

const attempt = 'a'.repeat(16)

/** A staging area with these segments in it, whenever it is listed; each listing hears `looked` first. */
function stagedIn(
  { repository }: ReturnType<typeof makeTestRepository>,
  { place, id }: TestSession,
  looked: () => Promise<readonly number[]>,
): { staged: Staged; given: number[] } {
  const given: number[] = []
  const list: StagingArea['list'] = async function* () {
    for (const segment of await looked()) {
      const name = stagedName({ tenant: repository.tenant, set: place.set, session: id, segment, attempt })
      yield { name, sizeBytes: 1, modifiedMs: 0 }
    }
  }
  const give: Staged['give'] = ({ segment }) => {
    given.push(segment)
    return Promise.resolve()
  }
  return { staged: { staging: { list } as unknown as StagingArea, give }, given }
}

async function opened(): Promise<{
  test: ReturnType<typeof makeTestRepository>
  session: TestSession
  job: Parameters<typeof runCommit>[1]
}> {
  const test = makeTestRepository()
  const session = await new TestSession({ repository: test.repository, number: 1 }).open()
  const job = { tenant: test.repository.tenant, set: session.place.set, session: session.id, after: 0 }
  return { test, session, job }
}

test('segments that are staged and not packed are waited for, and given to the workers', async () => {
  const { test, session, job } = await opened()
  await session.end(2, [new Map([[2, 'x']])])
  const { staged, given } = stagedIn(test, session, () => Promise.resolve([1, 0]))
  await assert.rejects(runCommit(test.repository, job, staged), { code: 'E_SEGMENTS_PENDING', details: { count: 2 } })
  assert.deepEqual(given, [1, 0])
})

test('a segment that is neither packed nor staged is missing', async () => {
  const { test, session, job } = await opened()
  await session.end(2, [new Map([[2, 'x']])])
  const { staged } = stagedIn(test, session, () => Promise.resolve([1]))
  const missing = { code: 'E_SEGMENTS_MISSING', details: { segments: [0, 1] } }
  await assert.rejects(runCommit(test.repository, job, staged), missing)
  await assert.rejects(runCommit(test.repository, job, undefined), missing)
})

test('segments that are packed between a look at the packs and one at the staging area are not missing', async () => {
  const { test, session, job } = await opened()
  await session.end(2, [
    new Map([
      [2, 'block 2 of session 1'],
      [9, 'block 9 of session 1'],
    ]),
  ])
  const { staged } = stagedIn(test, session, async () => {
    // The worker is done with all of them just now, and has removed what was staged.
    await sendAll(session, 1)
    return []
  })
  assert.equal((await runCommit(test.repository, job, staged)).sequence, 1)
})
