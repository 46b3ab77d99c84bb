import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { StrataError, type ErrorCode } from '@strata/shared/errors.ts'
import type { Lockability } from '@strata/shared/store/object-store.ts'
import { Desk } from '../../testing/desk.ts'
import type { StoredPolicy } from '../output/policy.ts'
import { policyApply, policyExplain, policyShow, type PolicyRegistry } from './policy.ts'

class MemoryRegistry implements PolicyRegistry {
  readonly versions: object[] = []

  latest(): Promise<StoredPolicy | undefined> {
    const policy = this.versions.at(-1)
    return Promise.resolve(policy === undefined ? undefined : { version: this.versions.length, policy })
  }

  lockability(): Promise<Lockability> {
    return Promise.resolve({ canLock: false, why: 'the bucket has no Object Lock' })
  }

  append(policy: object): Promise<number> {
    return Promise.resolve(this.versions.push(policy))
  }
}

const nowMs = Date.parse('2026-10-24T12:00:00Z')
const endpoint = '00112233445566778899aabbccddeeff'

class PolicyDesk extends Desk {
  readonly registry = new MemoryRegistry()

  static async open(t: TestContext): Promise<PolicyDesk> {
    const directory = await mkdtemp(join(tmpdir(), 'strata-policy-'))
    t.after(() => rm(directory, { recursive: true }))
    return new PolicyDesk(directory, nowMs)
  }

  async apply(policy: unknown, json = false, file = 'p.json'): Promise<void> {
    await writeFile(join(this.directory, file), typeof policy === 'string' ? policy : JSON.stringify(policy))
    assert.equal(await policyApply(this.context(json), this.registry, file), 0)
  }
}

/** What TypeScript has no opinion on, after an assertion. */
const said = (desk: Desk): string => desk.stdout

const withCode = (code: ErrorCode) => (error: unknown) => error instanceof StrataError && error.code === code

test('a policy that wants locks where there are none is applied, with a warning', async (t) => {
  const desk = await PolicyDesk.open(t)
  await desk.apply({
    schedule: { every: '1d' },
    retention: { last: 2 },
    immutability: { mode: 'compliance', days: 5 },
  })
  assert.match(desk.stderr, /W_NOT_LOCKED: points will have no locks: the bucket has no Object Lock/)
  assert.equal(desk.registry.versions.length, 1)
})

test('apply makes a version; the same once more makes none; show gives it back', async (t) => {
  const desk = await PolicyDesk.open(t)
  await assert.rejects(policyShow(desk.context(), desk.registry), withCode('E_POLICY_MISSING'))
  await desk.apply({ schedule: { cron: '0 2 * * *' } })
  assert.equal(desk.stdout, 'policy version 1 is in force\n')
  const written = { strata: 'policy', version: 1, schedule: { cron: '0 2 * * *' } }
  assert.deepEqual(desk.registry.versions, [written])
  await desk.apply(written)
  assert.equal(desk.stdout, 'policy version 1 is in force already\n')
  await desk.apply({ schedule: { every: '4h' } }, true)
  assert.deepEqual(JSON.parse(desk.stdout), {
    version: 2,
    policy: { strata: 'policy', version: 1, schedule: { every: '4h' } },
    applied: true,
    warnings: [],
  })
  await policyShow(desk.context(), desk.registry)
  const [understood = '', asWritten] = said(desk).split('\n\n')
  assert.match(understood, /^policy +version 2\nschedule +every 4h\nhours +at any time\n/)
  assert.match(understood, /\nretention +last 3, daily 14, weekly 8, monthly 12, younger than 7d; in UTC\n/)
  assert.equal(
    asWritten,
    'as it was written:\n{\n  "strata": "policy",\n  "version": 1,\n  "schedule": {\n    "every": "4h"\n  }\n}\n',
  )
  await policyShow(desk.context(true), desk.registry)
  const { policy, understood: meaning } = JSON.parse(desk.stdout) as { policy: object; understood: unknown }
  assert.deepEqual(policy, { strata: 'policy', version: 1, schedule: { every: '4h' } })
  assert.deepEqual((meaning as { retention: object }).retention, {
    last: 3,
    hourly: 0,
    daily: 14,
    weekly: 8,
    monthly: 12,
    yearly: 0,
    minimumAge: '7d',
    timeZone: 'UTC',
    undoWindow: '7d',
  })
})

test('a policy that this program is too old for is shown as it was written', async (t) => {
  const desk = await PolicyDesk.open(t)
  desk.registry.versions.push({ strata: 'policy', version: 1, requires: ['telepathy'] })
  await policyShow(desk.context(), desk.registry)
  assert.match(desk.stderr, /warning: E_POLICY_NEWER: .*telepathy/)
  assert.match(desk.stdout, /"requires"/)
  await policyShow(desk.context(true), desk.registry)
  assert.equal((JSON.parse(desk.stdout) as { understood: unknown }).understood, null)
})

test('a policy in YAML is the same one', async (t) => {
  const desk = await PolicyDesk.open(t)
  const yaml = `# of the dentist
schedule: { cron: "0 2 * * *", timeZone: Europe/Vienna }
hours:
  - from: 20:00
    to: 06:00
retention:
  daily: 14
  yearly: 10
`
  await desk.apply(yaml, false, 'p.yml')
  await desk.apply(yaml, false, 'policy')
  assert.equal(desk.stdout, 'policy version 1 is in force already\n')
  assert.deepEqual(desk.registry.versions, [
    {
      strata: 'policy',
      version: 1,
      schedule: { cron: '0 2 * * *', timeZone: 'Europe/Vienna' },
      hours: [{ from: '20:00', to: '06:00' }],
      retention: { daily: 14, yearly: 10 },
    },
  ])
})

test('YAML that means something else than it says is refused, and so is what would not end', async (t) => {
  const desk = await PolicyDesk.open(t)
  const wrong: readonly (readonly [string, RegExp])[] = [
    ['schedule: { every: 4h }\nschedule: { every: 1d }\n', /p\.yaml is no YAML .*unique at line 2, column 1$/],
    ['schedule: { every: &a 4h }\nbandwidthLimit: *a\n', /the alias \*a; write out/],
    ['schedule: { every: !!str 4h }\n', /the tag tag:yaml.org,2002:str; leave it out/],
    ['schedule: { every: 4h }\n---\nschedule: { every: 1d }\n', /multiple documents/],
    ['schedule:\n\tevery: 4h\n', /Tabs are not allowed/],
    ['? [schedule]\n: 1\n', /keys must be strings/],
    ['['.repeat(30_000), /is no YAML/],
    ['just text', /^the policy cannot be kept to/],
    ['', /^the policy cannot be kept to/],
  ]
  for (const [text, message] of wrong) {
    await assert.rejects(desk.apply(text, false, 'p.yaml'), (error) => {
      assert.ok(error instanceof StrataError && error.code === 'E_POLICY_INVALID', String(error))
      assert.match(error.message, message)
      return true
    })
  }
  await assert.rejects(desk.apply('{"schedule": {"every": "4h"}', false, 'p.json'), /p\.json is no JSON/)
  assert.deepEqual(desk.registry.versions, [])
})

test('a copy into the store that the policy is for is refused', async (t) => {
  const desk = await PolicyDesk.open(t)
  const copies = [{ name: 'second', to: 'file:///nowhere/copy' }]
  await assert.rejects(desk.apply({ schedule: { every: '4h' }, copies }), /copies\.0\.to is the store itself/)
})

test('a member that is not known is warned of, since it may be misspelt', async (t) => {
  const desk = await PolicyDesk.open(t)
  await desk.apply({ schedule: { every: '4h', jiter: '10m' } })
  assert.match(desk.stderr, /warning: W_POLICY_MEMBER: schedule\.jiter /)
  assert.equal(desk.registry.versions.length, 1)
})

test('a file that is no policy changes nothing', async (t) => {
  const desk = await PolicyDesk.open(t)
  const wrong: readonly (readonly [unknown, ErrorCode])[] = [
    ['{"schedule": ', 'E_POLICY_INVALID'],
    ['', 'E_POLICY_INVALID'],
    [[], 'E_POLICY_INVALID'],
    [{ schedule: { cron: 'daily' } }, 'E_POLICY_INVALID'],
    [`${' '.repeat(70_000)}{}`, 'E_POLICY_INVALID'],
    [{ strata: 'session', schedule: { every: '4h' } }, 'E_POLICY_INVALID'],
    [{ requires: ['telepathy'], schedule: { every: '4h' } }, 'E_POLICY_NEWER'],
  ]
  for (const [policy, code] of wrong) await assert.rejects(desk.apply(policy), withCode(code))
  await assert.rejects(policyApply(desk.context(), desk.registry, 'none.json'), withCode('E_USAGE'))
  await assert.rejects(policyApply(desk.context(), desk.registry, '.'), withCode('E_USAGE'))
  assert.deepEqual(desk.registry.versions, [])
})

test('explain shows the next runs of an endpoint, across the end of summer time', async (t) => {
  const desk = await PolicyDesk.open(t)
  await desk.apply({ schedule: { cron: '30 2 * * *', timeZone: 'Europe/Berlin', jitter: '10m', missed: 'skip' } })
  await policyExplain(desk.context(), desk.registry, endpoint, 'UTC')
  const [facts = '', table = ''] = desk.stdout.split('\n\n')
  assert.match(facts, /schedule +30 2 \* \* \*, in Europe\/Berlin\n/)
  const [, minutes, seconds] = /delay +([0-9]) min ([0-9]+) s/.exec(facts) ?? []
  assert.match(facts, /missed +skip$/)
  const at = `${String(30 + Number(minutes))}:${String(seconds).padStart(2, '0')}`
  assert.deepEqual(table.trimEnd().split('\n'), [
    'NEXT RUNS IN Europe/Berlin  IN UTC',
    `2026-10-25 02:${at} +02:00  2026-10-25 00:${at} +00:00`,
    `2026-10-26 02:${at} +01:00  2026-10-26 01:${at} +00:00`,
    `2026-10-27 02:${at} +01:00  2026-10-27 01:${at} +00:00`,
    `2026-10-28 02:${at} +01:00  2026-10-28 01:${at} +00:00`,
    `2026-10-29 02:${at} +01:00  2026-10-29 01:${at} +00:00`,
  ])
})

test('explain shows when runs begin that wait for their hours', async (t) => {
  const desk = await PolicyDesk.open(t)
  await desk.apply({ schedule: { every: '4h' }, hours: [{ days: 'mon-fri', from: '20:00', to: '02:00' }] })
  await policyExplain(desk.context(), desk.registry, endpoint, 'UTC')
  assert.match(desk.stdout, /\nhours +mon-fri 20:00 to 02:00, in UTC\n/)
  const begins = [...desk.stdout.matchAll(/^(2026-1[^+]*) \+00:00/gm)].map(([, begin]) => begin)
  assert.deepEqual(begins, [
    '2026-10-26 20:00:00',
    '2026-10-27 00:00:00',
    '2026-10-27 20:00:00',
    '2026-10-28 00:00:00',
    '2026-10-28 20:00:00',
  ])
})

test('explain shows an interval in the time of this machine', async (t) => {
  const desk = await PolicyDesk.open(t)
  await desk.apply({ schedule: { every: '4h', anchor: '2026-01-01T01:30:00Z' } })
  await policyExplain(desk.context(), desk.registry, endpoint, 'America/St_Johns')
  assert.match(desk.stdout, /every 4h, counted from 2026-01-01T01:30:00Z\n/)
  assert.match(desk.stdout, /delay +none\n/)
  assert.match(desk.stdout, /2026-10-24 11:00:00 -02:30 {5}2026-10-24 13:30:00 \+00:00\n/)
  await policyExplain(desk.context(true), desk.registry, endpoint, 'America/St_Johns')
  assert.equal((JSON.parse(desk.stdout) as { runs: string[] }).runs[0], '2026-10-24T13:30:00.000Z')
  await assert.rejects(policyExplain(desk.context(), desk.registry, 'web-1', 'UTC'), withCode('E_USAGE'))
})
