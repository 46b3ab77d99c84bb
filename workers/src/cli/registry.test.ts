import assert from 'node:assert/strict'
import { readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { systemClock, systemRandomBytes } from '@strata/shared/clock.ts'
import { EnrolmentToken } from '@strata/shared/format/enrolment-token-text.ts'
import { readKeyring } from '@strata/shared/keys/keyring.ts'
import { enrol } from '@strata/shared/repository/registry/enrol.ts'
import { Registry } from '@strata/shared/repository/registry/registry.ts'
import { openRepository } from '@strata/shared/repository/repository.ts'
import { openDirectoryStore } from '@strata/shared/store/directory.ts'
import { answer, errorCode, makePlace, type Place } from '../testing/program-place.ts'
import { shownIdChars } from './output/bytes.ts'

interface TokenAnswer {
  readonly token: string
  readonly id: string
}

interface EnrolledPlace extends Place {
  /** What a gateway does for a machine that comes with a token; gives the endpoint's id. */
  readonly enrolMachine: (token: string, name: string) => Promise<string>
  readonly createToken: (...args: readonly string[]) => Promise<TokenAnswer>
}

/** With a tenant, and no passphrase and no key file from there on. */
async function makeTenant(t: TestContext): Promise<EnrolledPlace> {
  const place = await makePlace(t)
  const { run } = place
  const made = await run(['init', '--key-file', join(place.directory, 'tenant.key')])
  assert.equal(made.code, 0, made.stderr)
  let machines = 0
  return {
    ...place,
    createToken: async (...args) => {
      const created = await run(['token', 'create', '--json', ...args])
      assert.equal(created.code, 0, created.stderr)
      return JSON.parse(created.stdout) as TokenAnswer
    },
    enrolMachine: async (token, name) => {
      machines += 1
      const identity = machines.toString(16).padStart(64, '0')
      const { id } = await enrol(await registryOf(place), {
        token: EnrolmentToken.parse(token),
        publicKey: identity,
        machineFingerprint: identity,
        name,
        machine: { hostName: `${name}.example`, system: 'Linux', architecture: 'x64' },
      })
      return id
    },
  }
}

async function listed(place: Place, what: string): Promise<Record<string, unknown>[]> {
  const { code, stdout, stderr } = await place.run([what, 'list', '--json'])
  assert.equal(code, 0, stderr)
  return JSON.parse(stdout) as Record<string, unknown>[]
}

test('a token is one line on standard output, shown once, and needs no passphrase', async (t) => {
  const place = await makeTenant(t)
  const { code, stdout, stderr } = await place.run(['token', 'create'])
  assert.equal(code, 0)
  const token = EnrolmentToken.parse(stdout.slice(0, -1))
  assert.match(stderr, /^Good for 1 machine until .* It is not shown again\.\n$/)
  const secret = stdout.trim().slice(-43)
  for (const args of [['list'], ['list', '--json'], ['revoke', token.id], ['list', '--verbose']]) {
    const run = await place.run(['token', ...args])
    assert.ok(!(run.stdout + run.stderr).includes(secret))
  }
  for (const path of await readdir(place.directory, { recursive: true, withFileTypes: true })) {
    if (path.isFile()) assert.ok(!(await readFile(join(path.parentPath, path.name))).includes(secret), path.name)
  }
})

test('what a token is good for is what was asked for', async (t) => {
  const { createToken } = await makeTenant(t)
  const token = await createToken('--expires', '7d', '--uses', '40', '--note', 'Graz')
  const { createdAt, expiresAt, ...others } = token as unknown as Record<string, string>
  assert.equal(Date.parse(expiresAt ?? '') - Date.parse(createdAt ?? ''), 7 * 24 * 3600_000)
  const { tenant, id } = EnrolmentToken.parse(token.token)
  assert.deepEqual(others, { token: token.token, id, tenant, usesMax: 40, endpoint: null, note: 'Graz' })
})

test('tokens are listed in the order they were made, with their states and uses', async (t) => {
  const place = await makeTenant(t)
  const empty = await place.run(['token', 'list'])
  assert.deepEqual([empty.code, empty.stdout, empty.stderr], [0, '', 'There is no enrolment token yet.\n'])
  const used = await place.createToken('--note', 'used')
  const open = await place.createToken('--uses', '2', '--note', 'open')
  const revoked = await place.createToken('--note', 'revoked')
  await place.enrolMachine(used.token, 'web1')
  const endpoint = await place.enrolMachine(open.token, 'web2')
  const bound = await place.createToken('--endpoint', endpoint.slice(0, 8))
  assert.equal((await place.run(['token', 'revoke', revoked.id.slice(0, 12)])).code, 0)

  const tokens = await listed(place, 'token')
  assert.deepEqual(
    tokens.map(({ id, state, uses, usesMax, endpoint: of }) => [id, state, uses, usesMax, of]),
    [
      [used.id, 'used up', 1, 1, null],
      [open.id, 'open', 1, 2, null],
      [revoked.id, 'revoked', 0, 1, null],
      [bound.id, 'open', 0, 1, endpoint],
    ],
  )
  const { stdout } = await place.run(['token', 'list'])
  const [head, first, ...rows] = stdout.trimEnd().split('\n')
  assert.match(head ?? '', /^TOKEN +STATE +USES +EXPIRES +ENDPOINT +NOTE$/)
  assert.match(first ?? '', new RegExp(`^${used.id.slice(0, shownIdChars)} +used up +1/1 .* new +used$`))
  assert.equal(rows.length, 3)
})

test('a token that has expired is listed as such', async (t) => {
  const place = await makeTenant(t)
  const { id } = await place.createToken()
  const { tokens } = await registryOf(place)
  const made = await tokens.latest(id)
  assert.ok(made !== undefined)
  await tokens.append(id, made.version, { ...made.document, expiresAt: made.document.createdAt })
  assert.deepEqual(
    (await listed(place, 'token')).map(({ state }) => state),
    ['expired'],
  )
})

test('revoking says what is revoked, twice as well, and names what there is not', async (t) => {
  const place = await makeTenant(t)
  const { id } = await place.createToken()
  for (const _ of [1, 2]) {
    assert.deepEqual(answer(await place.run(['token', 'revoke', id, '--json'])), { id, state: 'revoked' })
  }
  for (const what of ['token revoke', 'endpoint revoke', 'endpoint show', 'token create --endpoint']) {
    for (const reference of ['ffffff', 'web1', '']) {
      const run = await place.run([...what.split(' '), reference, '--json'])
      const code = what === 'token revoke' ? 'E_ENROLMENT_UNKNOWN' : 'E_ENDPOINT_UNKNOWN'
      assert.deepEqual([run.code, errorCode(run)], [1, code], `${what} '${reference}'`)
    }
  }
})

test('endpoints are listed by name, shown in full, and revoked', async (t) => {
  const place = await makeTenant(t)
  const empty = await place.run(['endpoint', 'list'])
  assert.deepEqual([empty.code, empty.stdout, empty.stderr], [0, '', 'There is no endpoint yet.\n'])
  const { token, id: tokenId } = await place.createToken('--uses', '3')
  const second = await place.enrolMachine(token, 'web2')
  const first = await place.enrolMachine(token, 'web1')
  const list = await listed(place, 'endpoint')
  assert.deepEqual(
    list.map(({ endpoint, name, state, token: by }) => [endpoint, name, state, by]),
    [
      [first, 'web1', 'active', tokenId],
      [second, 'web2', 'active', tokenId],
    ],
  )
  assert.deepEqual(answer(await place.run(['endpoint', 'show', first, '--json'])), list[0])
  const shown = await place.run(['endpoint', 'show', first.slice(0, 6)])
  assert.match(
    shown.stdout,
    new RegExp(`^endpoint +${first}\nname +web1\nstate +active\nmachine +web1.example, Linux, x64\n`),
  )

  const revoked = await place.run(['endpoint', 'revoke', first, '--note', 'stolen'])
  assert.deepEqual([revoked.code, revoked.stdout], [0, `${first.slice(0, shownIdChars)} ('web1') is revoked\n`])
  const table = (await place.run(['endpoint', 'list'])).stdout.trimEnd().split('\n')
  assert.match(table[0] ?? '', /^ENDPOINT +NAME +STATE +MACHINE +ENROLLED +NOTE$/)
  assert.match(table[1] ?? '', /^[0-9a-f]{12} +web1 +revoked +web1\.example .* stolen$/)
  const bound = await place.run(['token', 'create', '--endpoint', first, '--json'])
  assert.deepEqual([bound.code, errorCode(bound)], [1, 'E_ENDPOINT_REVOKED'])
})

test('a document that cannot be read is named, hides no other, and is no success', async (t) => {
  const place = await makeTenant(t)
  const { token, id } = await place.createToken('--uses', '2')
  const [one, two] = [await place.enrolMachine(token, 'web1'), await place.enrolMachine(token, 'web2')]
  const [tenant = ''] = await readdir(join(place.directory, 'store', 'tenants'))
  const below = join(place.directory, 'store', 'tenants', tenant)
  await writeFile(join(below, 'endpoints', one, '00000002'), 'damage')
  await rm(join(below, 'tokens', id, '00000001'))
  await writeFile(join(below, 'tokens', id, '00000002'), 'alone')
  const endpoints = await place.run(['endpoint', 'list', '--json'])
  assert.equal(endpoints.code, 1)
  assert.deepEqual(
    (JSON.parse(endpoints.stdout) as { endpoint: string }[]).map(({ endpoint }) => endpoint),
    [two],
  )
  assert.match(endpoints.stderr, new RegExp(`E_FORMAT_DAMAGED: endpoint ${one}: `))
  const tokens = await place.run(['token', 'list', '--json'])
  assert.deepEqual([tokens.code, tokens.stdout], [1, '[]\n'])
  assert.match(tokens.stderr, /E_HISTORY_BROKEN: 1 enrolment token cannot be read/)
})

test('what machines say of themselves comes out as text', async (t) => {
  const place = await makeTenant(t)
  const { token } = await place.createToken()
  const endpoint = await place.enrolMachine(token, 'web1')
  const { document, version } = (await registryOf(place).then((registry) => registry.endpoints.latest(endpoint))) ?? {}
  assert.ok(document !== undefined && version !== undefined)
  const machine = { ...document.machine, hostName: '\u001b[2J\u202eevil\nline' }
  await (await registryOf(place)).endpoints.append(endpoint, version, { ...document, machine })
  for (const args of [['list'], ['show', endpoint], ['list', '--json'], ['show', endpoint, '--json']]) {
    const { stdout, stderr } = await place.run(['endpoint', ...args])
    assert.doesNotMatch((stdout + stderr).replaceAll('\n', ''), /[\p{Cc}\p{Cf}]/u)
  }
})

async function registryOf({ directory, keyring }: Place): Promise<Registry> {
  const store = await openDirectoryStore(join(directory, 'store'), {
    clock: systemClock,
    randomBytes: systemRandomBytes,
  })
  return new Registry(await openRepository(store, await readKeyring(keyring), systemRandomBytes))
}
