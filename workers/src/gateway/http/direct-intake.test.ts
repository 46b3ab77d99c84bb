import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { test } from 'node:test'
import { hasCode } from '@strata/shared/errors.ts'
import { makeTestRepository } from '@strata/shared/testing/test-repository.ts'
import { asId, type SessionId, type SetId } from '@strata/shared/types.ts'
import type { Admission } from '../admission.ts'
import type { Gateway } from '../gateway.ts'
import { DirectIntake } from './direct-intake.ts'

const ref = { set: asId<SetId>('1'.repeat(32)), session: asId<SessionId>('2'.repeat(32)) }
const admission = {
  admit: () => Promise.resolve({ admitted: true }),
  queued: () => Promise.resolve(0),
  release: () => Promise.resolve(),
} as unknown as Admission

test('segments of a session that is given up meanwhile are told so, and end in no defect', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'strata-test-'))
  const { repository } = makeTestRepository()
  const gateway = { repository, handedOver: () => Promise.resolve() } as unknown as Gateway
  const intake = new DirectIntake(directory, admission)
  const content = Buffer.from('a segment')
  const what = { bytes: content.length, sha256: createHash('sha256').update(content).digest('hex') }
  let refused = 0
  const send = async (): Promise<void> => {
    try {
      await intake.receive(gateway, ref, 0, Readable.from([content]), what)
    } catch (error) {
      if (!hasCode(error, 'E_SESSION_UNKNOWN')) throw error
      refused += 1
    }
  }
  try {
    for (let round = 0; round < 20_000 && refused === 0; round += 1) {
      await Promise.all([send(), send(), intake.forget(ref), send(), intake.forget(ref)])
    }
    assert.ok(refused > 0)
  } finally {
    await rm(directory, { recursive: true })
  }
})
