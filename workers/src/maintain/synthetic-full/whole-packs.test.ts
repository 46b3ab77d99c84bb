import assert from 'node:assert/strict'
import { test } from 'node:test'
import { archivedBytesMin, copiedDeadShareMax, wholePackBytesMin } from '@strata/shared/limits.ts'
import { appendPolicy } from '@strata/shared/repository/registry/policies.ts'
import { Registry } from '@strata/shared/repository/registry/registry.ts'
import { makeTestRepository } from '@strata/shared/testing/test-repository.ts'
import { asId, type SessionId } from '@strata/shared/types.ts'
import type { LiveRecord } from './plan-packs.ts'
import type { SourceEnds } from './source-ends.ts'
import { wholePackBytesMinOf, wholePacks } from './whole-packs.ts'

const recordBytes = 1000

function record(block: number, pack: number, index: number): LiveRecord {
  const session = asId<SessionId>(String(pack).padStart(32, '0'))
  const place = {
    pack: { session, number: 0, attempt: '0'.repeat(16) },
    offset: index * recordBytes,
    length: recordBytes,
  }
  return { block, digest: new Uint8Array(32), place }
}

/** Packs of these lengths, of which it is also said which were asked for. */
function endsOf(
  sizes: Readonly<Record<number, number>>,
  canBeCopiedWhole = true,
): { sources: SourceEnds; asked: number[] } {
  const asked: number[] = []
  const of = ({ session }: { session: string }): Promise<{ sizeBytes: number; canBeCopiedWhole: boolean }> => {
    asked.push(Number(session))
    return Promise.resolve({ sizeBytes: sizes[Number(session)] ?? assert.fail(), canBeCopiedWhole })
  }
  return { sources: { of } as unknown as SourceEnds, asked }
}

const range = (count: number): number[] => Array.from({ length: count }, (_, index) => index)

test('a pack is copied whole when it is large and little of it is dead; the ends of others are not even read', async () => {
  const full = range(90).map((index) => record(index, 1, index))
  const holed = range(90).map((index) => record(100 + index, 2, index))
  const small = range(10).map((index) => record(200 + index, 3, index))
  const { sources, asked } = endsOf({ 1: 90 * recordBytes * (1 + copiedDeadShareMax), 2: 200 * recordBytes, 3: 11_000 })
  const found = await wholePacks(sources, [...full, ...holed, ...small], 50 * recordBytes)
  assert.deepEqual(
    found.map(({ pack, records }) => [Number(pack.session), records.length]),
    [[1, 90]],
  )
  assert.deepEqual(asked, [1, 2])
  const old = endsOf({ 1: 90 * recordBytes }, false)
  assert.deepEqual(await wholePacks(old.sources, full, 50 * recordBytes), [])
})

test('a record that stands for several blocks lives once', async () => {
  const records = range(90).map((index) => record(index, 1, Math.floor(index / 2)))
  const { sources } = endsOf({ 1: 90 * recordBytes })
  assert.deepEqual(await wholePacks(sources, records, 10 * recordBytes), [])
})

test('where a policy archives, small packs are not copied whole: rules archive large objects only', async () => {
  const { repository } = makeTestRepository('whole packs')
  assert.equal(await wholePackBytesMinOf(repository), wholePackBytesMin)
  const policy = { strata: 'policy', version: 1, schedule: { every: '1d' } }
  const apply = (members: object): Promise<unknown> => appendPolicy(new Registry(repository), { ...policy, ...members })
  await apply({ storageClass: [{ afterDays: 90, class: 'archive-instant' }] })
  assert.equal(await wholePackBytesMinOf(repository), wholePackBytesMin)
  await apply({ storageClass: [{ afterDays: 180, class: 'deep-archive' }] })
  assert.equal(await wholePackBytesMinOf(repository), archivedBytesMin)
  await apply({ storageClass: 'in a way that is not known yet' })
  assert.equal(await wholePackBytesMinOf(repository), archivedBytesMin)
})
