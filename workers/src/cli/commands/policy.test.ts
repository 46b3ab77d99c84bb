import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { systemRandomBytes } from '@strata/shared/clock.ts'
import { StrataError, type ErrorCode } from '@strata/shared/errors.ts'
import type { Context } from '../context.ts'
import type { StoredPolicy } from '../output/policy.ts'
import { Reporter } from '../output/reporter.ts'
import { settingsFrom } from '../settings.ts'
import { policyApply, policyExplain, policyShow, type PolicyRegistry } from './policy.ts'

class MemoryRegistry implements PolicyRegistry {
  readonly versions: object[] = []

  latest(): Promise<StoredPolicy | undefined> {
    const policy = this.versions.at(-1)
    return Promise.resolve(policy === undefined ? undefined : { version: this.versions.length, policy })
  }

  append(policy: object): Promise<number> {
    return Promise.resolve(this.versions.push(policy))
  }
}

const nowMs = Date.parse('2026-10-24T12:00:00Z')
const endpoint = '00112233445566778899aabbccddeeff'

class Desk {
  readonly registry = new MemoryRegistry()
  readonly #directory: string
  stdout = ''
  stderr = ''

  private constructor(directory: string) {
    this.#directory = directory
  }

  static async open(t: TestContext): Promise<Desk> {
    const directory = await mkdtemp(join(tmpdir(), 'strata-policy-'))
    t.after(() => rm(directory, { recursive: true }))
    return new Desk(directory)
  }

  async apply(policy: unknown, json = false): Promise<void> {
    await writeFile(join(this.#directory, 'p.json'), typeof policy === 'string' ? policy : JSON.stringify(policy))
    assert.equal(await policyApply(this.context(json), this.registry, 'p.json'), 0)
  }

  context(json = false): Context {
    this.stdout = ''
    this.stderr = ''
    const clock = { nowMs: () => nowMs, monotonicMs: () => 0, sleep: () => Promise.resolve() }
    return {
      settings: settingsFrom({ store: 'file:///nowhere' }, {}),
      reporter: new Reporter({
        stdout: { write: (text) => (this.stdout += text) },
        stderr: { write: (text) => (this.stderr += text) },
        env: {},
        clock,
        json,
        quiet: false,
        verbose: false,
      }),
      clock,
      random: systemRandomBytes,
      env: {},
      workingDirectory: this.#directory,
      hostName: 'host-1',
      signal: new AbortController().signal,
      terminal: undefined,
    }
  }
}

const withCode = (code: ErrorCode) => (error: unknown) => error instanceof StrataError && error.code === code

test('apply makes a version; the same once more makes none; show gives it back', async (t) => {
  const desk = await Desk.open(t)
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
  assert.equal(
    desk.stdout,
    'policy  version 2\n{\n  "strata": "policy",\n  "version": 1,\n  "schedule": {\n    "every": "4h"\n  }\n}\n',
  )
})

test('a member that is not known is warned of, since it may be misspelt', async (t) => {
  const desk = await Desk.open(t)
  await desk.apply({ schedule: { every: '4h', jiter: '10m' } })
  assert.match(desk.stderr, /warning: W_POLICY_MEMBER: schedule\.jiter /)
  assert.equal(desk.registry.versions.length, 1)
})

test('a file that is no policy changes nothing', async (t) => {
  const desk = await Desk.open(t)
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
  const desk = await Desk.open(t)
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

test('explain shows an interval in the time of this machine', async (t) => {
  const desk = await Desk.open(t)
  await desk.apply({ schedule: { every: '4h', anchor: '2026-01-01T01:30:00Z' } })
  await policyExplain(desk.context(), desk.registry, endpoint, 'America/St_Johns')
  assert.match(desk.stdout, /every 4h, counted from 2026-01-01T01:30:00Z\n/)
  assert.match(desk.stdout, /delay +none\n/)
  assert.match(desk.stdout, /2026-10-24 11:00:00 -02:30 {5}2026-10-24 13:30:00 \+00:00\n/)
  await policyExplain(desk.context(true), desk.registry, endpoint, 'America/St_Johns')
  assert.equal((JSON.parse(desk.stdout) as { runs: string[] }).runs[0], '2026-10-24T13:30:00.000Z')
  await assert.rejects(policyExplain(desk.context(), desk.registry, 'web-1', 'UTC'), withCode('E_USAGE'))
})
