import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { test } from 'node:test'
import { stagedName } from '@strata/shared/staging/names.ts'
import type { StoreRequest } from '@strata/shared/store/store-requests.ts'
import { makeTestRepository, seededRandom, standingClock } from '@strata/shared/testing/test-repository.ts'
import { asId, type SessionId, type SetId } from '@strata/shared/types.ts'
import { testStaging } from '../../testing/test-staging.ts'
import type { Admission } from '../admission.ts'
import type { Gateway } from '../gateway.ts'
import { StagedIntake } from './staged-intake.ts'

test('the upload of an agent is counted when it is found, and not before', async () => {
  const { repository } = makeTestRepository()
  const { staging, store } = testStaging(standingClock)
  const gateway = { repository, staged: () => Promise.resolve() } as unknown as Gateway
  const admission = { queued: () => Promise.resolve(0) } as unknown as Admission
  const told: StoreRequest[] = []
  const onUploaded = (request: StoreRequest): void => {
    told.push(request)
  }
  const intake = new StagedIntake({ staging, admission, random: seededRandom('intake'), onUploaded })
  const ref = { set: asId<SetId>('1'.repeat(32)), session: asId<SessionId>('2'.repeat(32)) }
  const content = Buffer.from('a sealed segment')
  const attempt = 'a'.repeat(16)
  const sha256 = createHash('sha256').update(content).digest('hex')
  const what = { bytes: content.length, sha256, attempt }
  await assert.rejects(intake.staged(gateway, ref, 3, what), { code: 'E_HANDOVER_LOST' })
  assert.deepEqual(told, [])
  const name = stagedName({ tenant: repository.tenant, ...ref, segment: 3, attempt })
  await store.put(name, [content])
  await intake.staged(gateway, ref, 3, what)
  assert.deepEqual(told, [{ kind: 'put', name, bytesSent: content.length, bytesReceived: 0 }])
})
