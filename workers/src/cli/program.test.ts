import assert from 'node:assert/strict'
import { cp, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { pathToFileURL } from 'node:url'
import { answer, errorCode, makePlace, type Place, type Run } from '../testing/program-place.ts'
import { displayWidth } from './output/printable.ts'

// ── the command line itself ────────────────────────────────────────────────────────────────────────────────────────

test('what is no command line ends with 2, names itself, and is one document with --json', async (t) => {
  const { run } = await makePlace(t)
  const wrong = [
    ['nosuch'],
    ['points', '--nosuch'],
    ['points', 'too-many'],
    ['restore', 'abcdef'],
    ['restore', 'abcdef', '--to', 'x', '--format', 'qcow2'],
    ['restore', 'no point', '--to', 'x'],
    ['mount', 'abcdef'],
    ['mount', 'abcdef', '--socket', 'x', '--port', '1'],
    ['mount', 'no point', '--port', '0'],
    ['backup'],
    ['backup', 'x', '--full', '--differential'],
    ['backup', 'x', '--block-size', '100K'],
    ['verify'],
    ['verify', 'abcdef', '--all'],
    ['init', '--tenant', ''],
    ['init', '--kms', 'gcp:key'],
    ['init', '--kms', 'aws:'],
    ['key', 'nosuch'],
    ['key', 'add', 'key-file:'],
    ['key', 'add', 'passphrase'],
    ['key', 'remove', 'nosuch'],
    ['key', 'remove', '__proto__'],
    ['key', 'destroy', '--request'],
    ['key', 'destroy', '--tenant', 'x', '--request', '--confirm'],
    ['key', 'destroy', '--delay', 'soon'],
    ['token', 'nosuch'],
    ['token', 'create', '--expires', 'tomorrow'],
    ['token', 'create', '--expires', '0h'],
    ['token', 'create', '--uses', '0'],
    ['token', 'create', '--uses', '1.5'],
    ['token', 'create', '--note', 'two\nlines'],
    ['token', 'revoke'],
    ['endpoint', 'list', 'too-many'],
    ['endpoint', 'show'],
    ['endpoint', 'revoke', 'abcdef', '--note', 'x'.repeat(201)],
    ['points', '--bandwidth-limit', 'fast'],
    ['--store'],
  ]
  for (const args of wrong) {
    const plain = await run(args)
    assert.equal(plain.code, 2, args.join(' '))
    assert.equal(plain.stdout, '')
    assert.match(plain.stderr, /^strata: E_USAGE: .+\n {2}→ .+\n$/)
    const json = await run(['--json', ...args])
    assert.equal(json.code, 2)
    assert.equal(errorCode(json), 'E_USAGE')
  }
})

test('a bandwidth limit of the environment that is none is a wrong setting, and an empty one is none', async (t) => {
  const { run } = await makePlace(t)
  const wrong = await run(['points', '--json'], { STRATA_BANDWIDTH_LIMIT: '10 Mbit' })
  assert.deepEqual([wrong.code, errorCode(wrong)], [1, 'E_CONFIGURATION'])
  for (const STRATA_BANDWIDTH_LIMIT of ['', '10M']) {
    assert.equal(errorCode(await run(['points', '--json'], { STRATA_BANDWIDTH_LIMIT })), 'E_STORE_MISSING')
  }
})

test('strata alone shows its help, and is no success; so does a command that has others below it', async (t) => {
  const { run } = await makePlace(t)
  for (const args of [[], ['key'], ['token'], ['endpoint']]) {
    const { code, stdout, stderr } = await run(args)
    assert.equal(code, 2)
    assert.equal(stdout, '')
    assert.ok(stderr.startsWith(`Usage: ${['strata', ...args].join(' ')} `), stderr)
    assert.equal(errorCode(await run(['--json', ...args])), 'E_USAGE')
  }
})

test('every command has help with examples and exit codes; only what there is is listed', async (t) => {
  const { run } = await makePlace(t)
  const help = await run(['--help'])
  assert.equal(help.code, 0)
  const commands = [...help.stdout.matchAll(/^ {2}([a-z]+) .* {2}/gm)].map(([, name]) => name ?? '')
  assert.deepEqual(commands, [
    'init',
    'backup',
    'points',
    'restore',
    'mount',
    'overlay',
    'verify',
    'synth',
    'prune',
    'copy',
    'hold',
    'lock',
    'catalog',
    'cost',
    'key',
    'lifecycle',
    'token',
    'policy',
    'endpoint',
    'serve',
    'agent',
    'help',
  ])
  const subcommands = [
    ...['add', 'remove', 'list'].map((name) => `hold ${name}`),
    'catalog rebuild',
    'overlay commit',
    ...['plan', 'apply', 'check'].map((name) => `lifecycle ${name}`),
    ...['show', 'passphrase', 'add', 'remove', 'rotate', 'sheet', 'destroy'].map((name) => `key ${name}`),
    ...['create', 'list', 'revoke'].map((name) => `token ${name}`),
    ...['list', 'show', 'revoke'].map((name) => `endpoint ${name}`),
    ...['apply', 'show', 'explain'].map((name) => `policy ${name}`),
    ...['enroll', 'run'].map((name) => `agent ${name}`),
  ]
  for (const command of [...commands.slice(0, -1), ...subcommands]) {
    const { code, stdout } = await run([...command.split(' '), '--help'])
    assert.equal(code, 0)
    for (const line of stdout.split('\n')) assert.ok(displayWidth(line) <= 80, line)
    for (const part of ['Examples:', 'Exit codes:', 'Global Options:'])
      assert.ok(stdout.includes(part), `${command}: ${part}`)
  }
  assert.match((await run(['--version'])).stdout, /^\d+\.\d+\.\d+\n$/)
})

test('no store is an error of usage; a wrong one and a missing one have their own', async (t) => {
  const { run, directory } = await makePlace(t)
  const none = await run(['points', '--json'], { STRATA_STORE: '' })
  assert.equal(none.code, 2)
  const wrong = await run(['points', '--json', '--store', 'ftp://x'])
  assert.deepEqual([wrong.code, errorCode(wrong)], [1, 'E_STORE_URL'])
  const missing = await run(['points', '--json', '--store', pathToFileURL(join(directory, 'nowhere')).href])
  assert.deepEqual([missing.code, errorCode(missing)], [1, 'E_STORE_MISSING'])
})

test('hostile arguments come out as text', async (t) => {
  const { run } = await makePlace(t)
  const hostile = '\u001b[2J\u202eevil\nstrata: all is well'
  for (const args of [
    [hostile],
    ['points', '--set', hostile],
    ['points', hostile],
    ['restore', hostile, '--to', hostile],
  ]) {
    for (const json of [[], ['--json']]) {
      const { stdout, stderr } = await run([...args, ...json])
      assert.doesNotMatch(stderr.replaceAll('\n', ''), /[\p{Cc}\p{Cf}]/u)
      assert.doesNotMatch(stdout.replaceAll('\n', ''), /[\p{Cc}\p{Cf}]/u)
      assert.equal(stderr.split('\n').length, 3)
    }
  }
})

// ── init ───────────────────────────────────────────────────────────────────────────────────────────────────────────

const passphrase = { STRATA_PASSPHRASE: 'correct horse battery' }

test('init makes repository, tenant and keyring, says what to keep safe, and never overwrites', async (t) => {
  const { run, keyring } = await makePlace(t)
  const made = await run(['init', '--tenant', 'Baker & Sons', '--json'], passphrase)
  assert.equal(made.code, 0)
  const { tenantName, unlockedBy, keyring: path } = answer(made)
  assert.deepEqual([tenantName, unlockedBy, path], ['Baker & Sons', ['passphrase'], keyring])
  assert.match(made.stderr, /Keep safe: the passphrase/)
  const before = await readFile(keyring)
  const again = await run(['init', '--json'], passphrase)
  assert.deepEqual([again.code, errorCode(again)], [1, 'E_TENANT_EXISTS'])
  assert.deepEqual(await readFile(keyring), before)
  assert.deepEqual(answer(await run(['points', '--json'])), [])
})

test('without a secret and without a terminal nothing is made', async (t) => {
  const { run, directory } = await makePlace(t)
  const { code, stderr } = await run(['init'])
  assert.equal(code, 1)
  assert.match(stderr, /E_KEY_MISSING/)
  assert.deepEqual(
    await readdir(join(directory, 'store')).then((names) => names.filter((name) => !name.startsWith('.'))),
    [],
  )
})

test('a key file is made where there is none, and used where there is one', async (t) => {
  const { run, directory } = await makePlace(t)
  const keyFile = join(directory, 'tenant.key')
  const first = await run(['init', '--key-file', keyFile, '--json'])
  assert.equal(first.code, 0, first.stderr)
  const made = await readFile(keyFile, 'utf8')
  assert.match(made, /^Strata key file/)
  const other = await run(['init', '--keyring', join(directory, 'other.json'), '--key-file', keyFile, '--json'])
  assert.equal(other.code, 0, other.stderr)
  assert.equal(await readFile(keyFile, 'utf8'), made)
  assert.equal(answer(other)['repository'], answer(first)['repository'])
  assert.notEqual(answer(other)['tenant'], answer(first)['tenant'])
})

/** What lies in the state directory after a death between the keys document and the keyring, or before both. */
async function cutOff({ keyring, keysDirectory }: Place, { keysStored }: { keysStored: boolean }): Promise<void> {
  await rename(keyring, `${keyring}.unfinished`)
  if (!keysStored) await rm(await keysDirectory(), { recursive: true })
}

test('an init that died after the keys were stored is finished by the same command', async (t) => {
  const place = await makePlace(t)
  const keyFile = ['--key-file', join(place.directory, 'tenant.key')]
  const first = answer(await place.run(['init', ...keyFile, '--json']))
  await cutOff(place, { keysStored: true })
  const again = await place.run(['init', ...keyFile, '--json'])
  assert.equal(again.code, 0, again.stderr)
  assert.deepEqual(answer(again), first)
  assert.deepEqual(await readdir(join(place.directory, 'state')), ['keyring.json'])
})

test('an init that died before the keys were stored begins anew', async (t) => {
  const place = await makePlace(t)
  const keyFile = ['--key-file', join(place.directory, 'tenant.key')]
  const first = answer(await place.run(['init', ...keyFile, '--json']))
  await cutOff(place, { keysStored: false })
  const again = await place.run(['init', ...keyFile, '--json'])
  assert.equal(again.code, 0, again.stderr)
  assert.notEqual(answer(again)['tenant'], first['tenant'])
  assert.deepEqual(await readdir(join(place.directory, 'state')), ['keyring.json'])
})

test('an init that was cut off is not finished with another secret, and says what to do', async (t) => {
  const place = await makePlace(t)
  await place.run(['init'], passphrase)
  await cutOff(place, { keysStored: true })
  const again = await place.run(['init'], { STRATA_PASSPHRASE: 'another one' })
  assert.equal(again.code, 1)
  assert.match(again.stderr, /E_KEY_WRONG: an earlier init of tenant 'default' was cut off/)
  assert.ok(again.stderr.includes(`${place.keyring}.unfinished`))
  const other = await place.run(['init', '--tenant', 'other'], { STRATA_PASSPHRASE: 'another one' })
  assert.equal(other.code, 0, other.stderr)
})

test('two inits at once for one keyring make one tenant', async (t) => {
  const place = await makePlace(t)
  const init = (): Promise<Run> => place.run(['init', '--json', '--key-file', join(place.directory, 'tenant.key')])
  await init()
  await cutOff(place, { keysStored: false })
  await rm(`${place.keyring}.unfinished`)
  const runs = await Promise.all([init(), init(), init()])
  const tenants = new Set(runs.filter(({ code }) => code === 0).map((run) => answer(run)['tenant']))
  assert.equal(tenants.size, 1)
  for (const run of runs) if (run.code !== 0) assert.equal(errorCode(run), 'E_TENANT_EXISTS')
  const [tenant] = tenants
  const keys = await readFile(place.keyring, 'utf8')
  assert.equal((JSON.parse(keys) as { tenantId: string }).tenantId, tenant)
  const found = await readdir(join(place.directory, 'store', 'tenants'))
  const withKeys = await Promise.all(
    found.map(async (id) => (await filesBelow(join(place.directory, 'store', 'tenants', id))).length > 0),
  )
  assert.deepEqual(
    found.filter((_, index) => withKeys[index]),
    [tenant],
  )
})

async function filesBelow(directory: string): Promise<string[]> {
  const entries = await readdir(directory, { recursive: true, withFileTypes: true })
  return entries.filter((entry) => entry.isFile()).map(({ name }) => name)
}

// ── finding the keyring ────────────────────────────────────────────────────────────────────────────────────────────

test('a lost keyring is rebuilt from the store, kept, and not over a damaged one', async (t) => {
  const { run, keyring, directory } = await makePlace(t)
  const keyFile = join(directory, 'tenant.key')
  await run(['init', '--key-file', keyFile])
  const whole = await readFile(keyring, 'utf8')
  await rm(keyring)
  const without = await run(['points', '--json'])
  assert.deepEqual([without.code, errorCode(without)], [1, 'E_KEYRING_MISSING'])
  const rebuilt = await run(['points', '--key-file', keyFile])
  assert.equal(rebuilt.code, 0, rebuilt.stderr)
  assert.match(rebuilt.stderr, /rebuilt from the store/)
  assert.equal(await readFile(keyring, 'utf8'), whole)
  await writeFile(keyring, '{', { mode: 0o600 })
  const damaged = await run(['points', '--json', '--key-file', keyFile])
  assert.deepEqual([damaged.code, errorCode(damaged)], [1, 'E_KEYRING_DAMAGED'])
})

test('options count before and after the command, and win over the environment', async (t) => {
  const { run, directory, keyring } = await makePlace(t)
  await run(['init', '--key-file', join(directory, 'tenant.key')])
  const moved = join(directory, 'moved.json')
  await cp(keyring, moved)
  await rm(keyring)
  const env = { STRATA_KEYRING: keyring }
  for (const args of [
    ['--keyring', moved, 'points', '--json'],
    ['--json', 'points', '--keyring', moved],
  ]) {
    const { code, stdout } = await run(args, env)
    assert.deepEqual([code, stdout], [0, '[]\n'])
  }
})
