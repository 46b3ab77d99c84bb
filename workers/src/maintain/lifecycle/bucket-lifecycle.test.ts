import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Clock } from '@strata/shared/clock.ts'
import { s3Dialect } from '@strata/shared/lifecycle/dialects.ts'
import { compileLifecycle } from '@strata/shared/lifecycle/rules.ts'
import type { S3Rule } from '@strata/shared/lifecycle/s3-rules.ts'
import { lifecycleSettleMsMax } from '@strata/shared/limits.ts'
import type { BucketRules, BucketState } from '@strata/shared/store/rules/bucket-rules.ts'
import { BucketLifecycle, type BucketLifecycleParts } from './bucket-lifecycle.ts'

/** What others do to the rules of a bucket at the worst moment, and what stores do to them. */
class TestBucket implements BucketRules<S3Rule> {
  readonly description = 'bucket test'
  rules: S3Rule[]
  writes = 0
  state: Omit<BucketState<S3Rule>, 'rules'> = { versions: 'never', locks: false, unknownMembers: [], kept: undefined }
  /** Told before each read, with its number from 0. */
  onRead: (index: number) => void = () => undefined
  /** What becomes of rules that are written. */
  onWrite: (rules: readonly S3Rule[]) => S3Rule[] = (rules) => [...rules]
  #reads = 0

  constructor(rules: S3Rule[] = []) {
    this.rules = rules
  }

  read(): Promise<BucketState<S3Rule>> {
    this.onRead(this.#reads)
    this.#reads += 1
    return Promise.resolve({ ...this.state, rules: structuredClone(this.rules) })
  }

  write(rules: readonly S3Rule[]): Promise<void> {
    this.writes += 1
    this.rules = this.onWrite(rules)
    return Promise.resolve()
  }

  close(): Promise<void> {
    return Promise.resolve()
  }
}

/** Time that passes by being waited for. */
function waitedClock(): Clock {
  let nowMs = 0
  return {
    nowMs: () => nowMs,
    monotonicMs: () => nowMs,
    sleep: (ms) => {
      nowMs += ms
      return Promise.resolve()
    },
  }
}

function lifecycleOf(rules: TestBucket, more: Partial<BucketLifecycleParts<S3Rule>> = {}): BucketLifecycle<S3Rule> {
  const scope = { use: 'repository', prefix: '', keepsVersions: false } as const
  return new BucketLifecycle({
    provider: 's3',
    rules,
    dialect: () => s3Dialect(scope),
    wanted: () => compileLifecycle({ ...scope, provider: 's3' }),
    tenant: undefined,
    rulesMax: 10,
    needsLocks: undefined,
    clock: waitedClock(),
    ...more,
  })
}

const logs: S3Rule = { ID: 'logs', Status: 'Enabled', Filter: { Prefix: 'logs/' }, Expiration: { Days: 1 } }
const everything: S3Rule = { ID: 'clean up', Status: 'Enabled', Filter: { Prefix: '' }, Expiration: { Days: 90 } }

test('what is planned is applied once, is as it should be from then on, and a change of it is found', async () => {
  const bucket = new TestBucket([logs])
  const lifecycle = lifecycleOf(bucket)
  const planned = await lifecycle.plan()
  assert.deepEqual([planned.problem, bucket.writes], [undefined, 0])
  assert.deepEqual([...new Set(planned.report.rules.map(({ state }) => state))], ['missing'])
  assert.equal((await lifecycle.check()).problem?.code, 'E_LIFECYCLE_DRIFT')
  const { report, problem } = await lifecycle.apply()
  assert.equal(problem, undefined)
  assert.deepEqual([...new Set(report.rules.map(({ state }) => state))], ['as-wanted'])
  assert.deepEqual(bucket.rules[0], logs)
  assert.equal((await lifecycle.check()).problem, undefined)
  await lifecycle.apply()
  assert.equal(bucket.writes, 1)
  bucket.rules = bucket.rules.map((rule) => ({ ...rule, Status: 'Disabled' }))
  const drift = (await lifecycle.check()).problem
  assert.equal(drift?.code, 'E_LIFECYCLE_DRIFT')
  assert.match(drift.message, /expire-retired is outdated/)
})

test('a rule that could do harm is named, and nothing is written while it is there', async () => {
  const bucket = new TestBucket([logs, everything])
  const lifecycle = lifecycleOf(bucket)
  for (const step of ['plan', 'apply', 'check'] as const) {
    const { report, problem } = await lifecycle[step]()
    assert.equal(problem?.code, 'E_LIFECYCLE_CONFLICT')
    assert.match(problem.message, /bucket test: rule 'clean up' could delete objects that points need, 90 days after/)
    assert.deepEqual(
      report.conflicts.map(({ name }) => name),
      ['clean up'],
    )
  }
  assert.equal(bucket.writes, 0)
})

test('rules that others change at the same time are not overwritten where that can be seen', async () => {
  const between = new TestBucket()
  between.onRead = (index) => {
    if (index === 1) between.rules = [logs]
  }
  await assert.rejects(lifecycleOf(between).apply(), { code: 'E_LIFECYCLE_CHANGED', message: /between two looks/ })
  assert.deepEqual([between.rules, between.writes], [[logs], 0])

  const after = new TestBucket()
  after.onWrite = () => [logs]
  await assert.rejects(lifecycleOf(after).apply(), { code: 'E_LIFECYCLE_CHANGED', message: /while they were written/ })
  assert.deepEqual([after.rules, after.writes], [[logs], 1])
})

test('a store that shows the rules of before for a while is waited for, and not for ever', async () => {
  const slow = new TestBucket([logs])
  let written: readonly S3Rule[] = []
  slow.onWrite = (rules) => {
    written = rules
    return slow.rules
  }
  slow.onRead = (index) => {
    if (index === 6) slow.rules = [...written]
  }
  assert.equal((await lifecycleOf(slow).apply()).problem, undefined)
  const stuck = new TestBucket([logs])
  stuck.onWrite = () => stuck.rules
  const clock = waitedClock()
  await assert.rejects(lifecycleOf(stuck, { clock }).apply(), { code: 'E_LIFECYCLE_CHANGED' })
  assert.ok(clock.nowMs() < 2 * lifecycleSettleMsMax)
})

test('a store that leaves out a part of a rule gets the rules of before back', async () => {
  const bucket = new TestBucket([logs])
  let isFirst = true
  bucket.onWrite = (rules) => {
    if (!isFirst) return [...rules]
    isFirst = false
    return rules.map(({ Filter, ...rule }) => ({ ...rule, Filter: { Prefix: Filter?.And?.Prefix ?? Filter?.Prefix } }))
  }
  const applied = lifecycleOf(bucket).apply()
  await assert.rejects(applied, {
    code: 'E_LIFECYCLE_NOT_KEPT',
    message: /-expire-retired; those from before were put back/,
  })
  assert.deepEqual(bucket.rules, [logs])
})

test('members of rules that would be lost, too many rules, and a bucket without the versions that locks need', async () => {
  const lossy = new TestBucket([logs])
  lossy.state = { ...lossy.state, unknownMembers: ['ObjectAgeInBlueMoons'] }
  await assert.rejects(lifecycleOf(lossy).apply(), { code: 'E_LIFECYCLE_LOSSY', message: /ObjectAgeInBlueMoons/ })
  assert.equal((await lifecycleOf(lossy).plan()).problem, undefined)

  const many = new TestBucket(Array.from({ length: 9 }, (_, index) => ({ ...logs, ID: `logs ${String(index)}` })))
  const full = (await lifecycleOf(many).apply()).problem
  assert.deepEqual([full?.code, many.writes], ['E_LIFECYCLE_IMPOSSIBLE', 0])

  const bucket = new TestBucket()
  const needsLocks = 'the policy asks for locks of 366 days'
  const lifecycle = lifecycleOf(bucket, { needsLocks })
  const plain = (await lifecycle.apply()).problem
  assert.equal(plain?.code, 'E_STORE_UNVERSIONED')
  assert.match(plain.message, /bucket test has no versioning, and the policy asks for locks of 366 days/)
  bucket.state = { ...bucket.state, versions: 'kept' }
  assert.match((await lifecycle.check()).problem?.message ?? '', /has no Object Lock/)
  bucket.state = { ...bucket.state, locks: true }
  assert.equal((await lifecycle.apply()).problem, undefined)
})
