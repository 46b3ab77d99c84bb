import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { segmentsPerSessionMax } from '../limits.ts'
import { isObjectName } from '../store/object-names.ts'
import { asId, type SessionId, type SetId, type TenantId } from '../types.ts'
import { stagedName, stagedSegmentOf, stagedSessionPrefix, stagedTenantPrefix, type StagedSegment } from './names.ts'

const t = '1'.repeat(32)
const s = '2'.repeat(32)
const x = '3'.repeat(32)
const staged: StagedSegment = {
  tenant: asId<TenantId>(t),
  set: asId<SetId>(s),
  session: asId<SessionId>(x),
  segment: 7,
  attempt: '0123456789abcdef',
}

test('names are those of docs/staging.md', () => {
  const changed = 'names changed: what is staged would not be found any more'
  assert.equal(stagedTenantPrefix(staged.tenant), `${t}/`, changed)
  assert.equal(stagedSessionPrefix(staged), `${t}/${s}/${x}/`, changed)
  assert.equal(stagedName(staged), `${t}/${s}/${x}/00000007-0123456789abcdef`, changed)
})

test('property: every name can name an object, sorts as its number does, and is read back', () => {
  const segment = fc.integer({ min: 0, max: segmentsPerSessionMax - 1 })
  fc.assert(
    fc.property(
      fc.stringMatching(/^[0-9a-f]{32}$/),
      fc.stringMatching(/^[0-9a-f]{16}$/),
      segment,
      segment,
      (id, attempt, a, b) => {
        const one = { ...staged, tenant: asId<TenantId>(id), segment: a, attempt }
        assert.ok(isObjectName(stagedName(one)))
        assert.deepEqual(stagedSegmentOf(stagedName(one)), one)
        assert.equal(stagedName(one) < stagedName({ ...one, segment: b }), a < b)
      },
    ),
  )
})

test('numbers and attempts that have no name are our own mistakes', () => {
  const bug = { code: 'E_BUG' }
  for (const segment of [-1, 0.5, NaN, segmentsPerSessionMax]) {
    assert.throws(() => stagedName({ ...staged, segment }), bug)
  }
  for (const attempt of ['', '0123456789ABCDEF', '0123456789abcde', '0123456789abcdef0', '../../../../../.']) {
    assert.throws(() => stagedName({ ...staged, attempt }), bug)
  }
})

test('whatever else lies there is no segment', () => {
  const last = '00000007-0123456789abcdef'
  const others = [
    '',
    last,
    `${t}/${s}/${last}`,
    `${t}/${s}/${x}/`,
    `${t}/${s}/${x}/${last}/`,
    `${t}/${s}/${x}/x/${last}`,
    `/${t}/${s}/${x}/${last}`,
    `tenants/${t}/${s}/${x}/${last}`,
    `${t.toUpperCase().replaceAll('1', 'A')}/${s}/${x}/${last}`,
    `${t}0/${s}/${x}/${last}`,
    `${t}/${s}/${x}/7-0123456789abcdef`,
    `${t}/${s}/${x}/000000007-0123456789abcdef`,
    `${t}/${s}/${x}/0000000x-0123456789abcdef`,
    `${t}/${s}/${x}/00000007-0123456789abcdeg`,
    `${t}/${s}/${x}/00000007-0123456789ABCDEF`,
    `${t}/${s}/${x}/${last}0`,
    `${t}/${s}/${x}/${last}\n`,
    `${t}/${s}/${x}/00000007`,
    `${t}/${s}/${x}/${String(segmentsPerSessionMax).padStart(8, '0')}-0123456789abcdef`,
  ]
  for (const name of others) assert.equal(stagedSegmentOf(name), undefined, name)
})
