import assert from 'node:assert/strict'
import { test } from 'node:test'
import { StrataError } from '@strata/shared/errors.ts'
import { encodeDocument } from '@strata/shared/format/document.ts'
import { manifestType, type Manifest } from '@strata/shared/format/manifest.ts'
import { manifestName } from '@strata/shared/format/names.ts'
import { voidType, type Void } from '@strata/shared/format/void.ts'
import { makeTestRepository, standingClock } from '@strata/shared/testing/test-repository.ts'
import type { Repository } from '@strata/shared/repository/repository.ts'
import { Desk } from '../../testing/desk.ts'
import type { StoredPolicy } from '../output/policy.ts'
import { policyExplainSet } from './policy-set.ts'

const setName = 'web-1'
const nowMs = standingClock.nowMs()
const dayMs = 24 * 3600_000

const idOf = (sequence: number): string => sequence.toString(16).padStart(32, '0')

/** A point, made so long before now. */
async function publish(repository: Repository, sequence: number, agoMs: number, more: object = {}): Promise<void> {
  const createdAt = new Date(nowMs - agoMs).toISOString()
  const manifest: Manifest = {
    strata: 'manifest',
    version: 1,
    point: idOf(sequence),
    setName,
    chain: 'c'.repeat(32),
    sequence,
    kind: 'full',
    base: null,
    full: null,
    previous: null,
    createdAt,
    capturedAt: createdAt,
    consistency: 'unchanged',
    machine: { hostName: '', system: '', architecture: '' },
    disks: [{ name: 'disk', sizeBytes: 1, blockBytes: 65_536, identity: {}, contentRoot: '0'.repeat(64) }],
    root: { session: idOf(sequence), number: 0, attempt: '0'.repeat(16), offset: 0, length: 1 },
    statistics: { scannedBytes: 0, changedBytes: 0, storedBytes: 0, segments: 0 },
    warnings: [],
    ...more,
  }
  const name = nameOf(repository, sequence)
  const bytes = encodeDocument(manifestType, name, manifest, repository.indexKeys, repository.nonce())
  await repository.store.put(name, [bytes], { ifAbsent: true })
}

async function publishVoid(repository: Repository, sequence: number): Promise<void> {
  const createdAt = new Date(nowMs).toISOString()
  const given: Void = { strata: 'void', version: 1, session: idOf(sequence), sequence, previous: null, createdAt }
  const name = nameOf(repository, sequence)
  const bytes = encodeDocument(voidType, name, given, repository.indexKeys, repository.nonce())
  await repository.store.put(name, [bytes], { ifAbsent: true })
}

function nameOf(repository: Repository, sequence: number): string {
  return manifestName(repository.placeOf(repository.setIdOf(setName)), sequence)
}

function storedPolicy(members: object): StoredPolicy {
  return { version: 3, policy: { strata: 'policy', version: 1, schedule: { cron: '0 12 * * *' }, ...members } }
}

interface Explained {
  readonly policy: { version: number } | null
  readonly points: readonly {
    readonly sequence: number
    readonly createdAt: string
    readonly keep: boolean
    readonly reasons: readonly { readonly kind: string; readonly text: string }[]
    readonly expiresAt: string | null
  }[]
  readonly unreadable: readonly { readonly sequence: number; readonly keep: boolean; readonly code: string }[]
  readonly voids: readonly number[]
}

const newDesk = (): Desk => new Desk('/', nowMs)

async function explained(repository: Repository, stored?: StoredPolicy): Promise<Explained> {
  const desk = newDesk()
  assert.equal(await policyExplainSet(desk.context(true), repository, stored, setName), 0)
  return JSON.parse(desk.stdout) as Explained
}

test('each point of a set, why it is kept or goes, and when', async () => {
  const { repository } = makeTestRepository()
  for (const sequence of [1, 2, 3, 4]) await publish(repository, sequence, (5 - sequence) * dayMs)
  const stored = storedPolicy({ retention: { daily: 2, minimumAge: '3d' } })
  const { policy, points } = await explained(repository, stored)
  assert.deepEqual(policy, { version: 3 })
  assert.deepEqual(
    points.map(({ sequence, keep, reasons, expiresAt }) => [
      sequence,
      keep,
      reasons.map(({ kind, text }) => `${kind}: ${text}`).join('; '),
      expiresAt,
    ]),
    [
      [1, false, 'noRule: no rule keeps it', '2026-01-01T00:00:00.000Z'],
      [2, false, 'noRule: no rule keeps it', '2026-01-01T00:00:00.000Z'],
      [3, true, 'daily: daily 2 of 2 (2025-12-30); minimumAge: younger than 3d', '2026-01-02T00:00:00.000Z'],
      [
        4,
        true,
        'newest: newest; daily: daily 1 of 2 (2025-12-31); minimumAge: younger than 3d',
        '2026-01-03T00:00:00.000Z',
      ],
    ],
  )
  const desk = newDesk()
  await policyExplainSet(desk.context(), repository, stored, setName)
  assert.match(desk.stdout, /^set +web-1\npolicy +version 3\nschedule +0 12 \* \* \*, in UTC\n/)
  assert.match(desk.stdout, /\npoints +2 of 4 points kept, 2 go\n/)
  assert.match(desk.stdout, /\n0{12} +1 {2}2025-12-28 00:00 \+00:00 {2}goes +now +no rule keeps it\n/)
})

test('without a policy the defaults are explained, and that is said', async () => {
  const { repository } = makeTestRepository()
  await publish(repository, 1, dayMs)
  const { policy, points } = await explained(repository)
  assert.equal(policy, null)
  assert.deepEqual(
    points[0]?.reasons.map(({ kind }) => kind),
    ['newest', 'last', 'daily', 'weekly', 'monthly', 'minimumAge'],
  )
  const desk = newDesk()
  await policyExplainSet(desk.context(), repository, undefined, setName)
  assert.match(desk.stdout, /\npolicy +none yet; this is what holds without one\n/)
})

test('a copy is of the moment of its source, and stands for it', async () => {
  const { repository } = makeTestRepository()
  await publish(repository, 1, 40 * dayMs)
  const source = {
    point: idOf(1),
    sequence: 1,
    manifestDigest: '0'.repeat(64),
    createdAt: new Date(nowMs - 40 * dayMs).toISOString(),
  }
  await publish(repository, 2, dayMs, { copyOf: source })
  const { points } = await explained(repository, storedPolicy({ retention: { last: 5 } }))
  assert.deepEqual(
    points.map(({ keep, reasons }) => [keep, reasons.map(({ text }) => text).join()]),
    [
      [false, 'number 2 is a copy of it'],
      [true, 'newest,last 1 of 5'],
    ],
  )
})

test('voids and what cannot be read are told apart; what cannot be read is kept, and is no success', async () => {
  const { repository } = makeTestRepository()
  await publish(repository, 1, 3 * dayMs)
  await publishVoid(repository, 2)
  await repository.store.put(nameOf(repository, 3), [new Uint8Array(100)], { ifAbsent: true })
  await publish(repository, 4, dayMs)
  for (const json of [false, true]) {
    const desk = newDesk()
    await assert.rejects(
      policyExplainSet(desk.context(json), repository, storedPolicy({}), setName),
      (error) => error instanceof StrataError && error.message === '1 point of the set cannot be read',
    )
    assert.match(desk.stderr, /warning: E_FORMAT_[A-Z]+: number 3 is kept: /)
    if (!json) {
      assert.match(desk.stdout, /\nunreadable +3; kept\nvoids +2; numbers without a point\n/)
      continue
    }
    const { points, unreadable, voids } = JSON.parse(desk.stdout) as Explained
    assert.deepEqual(
      points.map(({ sequence }) => sequence),
      [1, 4],
    )
    assert.deepEqual(
      unreadable.map(({ sequence, keep }) => [sequence, keep]),
      [[3, true]],
    )
    assert.deepEqual(voids, [2])
  }
})

test('a set that is not there, and a policy that is not understood, explain nothing', async () => {
  const { repository } = makeTestRepository()
  const desk = newDesk()
  const fails = (stored: StoredPolicy | undefined, code: string): Promise<void> =>
    assert.rejects(
      policyExplainSet(desk.context(), repository, stored, setName),
      (error) => error instanceof StrataError && error.code === code,
    )
  await fails(undefined, 'E_SET_UNKNOWN')
  await publish(repository, 1, dayMs)
  await fails(storedPolicy({ requires: ['telepathy'] }), 'E_POLICY_NEWER')
})
