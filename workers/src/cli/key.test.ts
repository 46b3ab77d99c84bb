import assert from 'node:assert/strict'
import { copyFile, readdir, readFile, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { answer, errorCode, makePlace, type Place, type Run } from '../testing/program-place.ts'

const first = { STRATA_PASSPHRASE: 'correct horse battery' }
const second = { STRATA_PASSPHRASE: 'staple, and another one' }

async function ok(run: Promise<Run>): Promise<Record<string, unknown>> {
  const ended = await run
  assert.equal(ended.code, 0, ended.stderr)
  return answer(ended)
}

async function refused(code: string, run: Promise<Run>): Promise<Run> {
  const ended = await run
  assert.equal(ended.code, 1, ended.stderr)
  assert.equal(errorCode(ended), code)
  return ended
}

const recoveryLines = (sheet: string): string => {
  const lines = [...sheet.matchAll(/^ +\d: {2}([0-9A-Z-]{19})$/gm)].map(([, line]) => line ?? '')
  assert.equal(lines.length, 4)
  return lines.join('\n')
}

async function withTenant(place: Place): Promise<Place['run']> {
  await ok(place.run(['init', '--json', '--tenant', 'Baker'], first))
  return place.run
}

test('a passphrase is changed: the new one opens, the old one does not, and backups never noticed', async (t) => {
  const place = await makePlace(t)
  const run = await withTenant(place)
  const keyring = await readFile(place.keyring)
  const change = ['key', 'passphrase', '--json']
  await refused('E_KEY_MISSING', run(change, first))
  const again = { STRATA_NEW_PASSPHRASE: second.STRATA_PASSPHRASE }
  await refused('E_KEY_WRONG', run(change, { ...second, ...again }))
  assert.equal((await readdir(await place.keysDirectory())).length, 1)
  const changed = await ok(run(change, { ...first, ...again }))
  assert.deepEqual([changed['revision'], changed['generation'], changed['opensWith']], [2, 1, ['passphrase']])
  await refused('E_KEY_WRONG', run(['key', 'show', '--json'], first))
  await ok(run(['key', 'show', '--json'], second))
  assert.deepEqual(await readFile(place.keyring), keyring)
})

test('a key file is added beside the passphrase, and either is taken out, but not both', async (t) => {
  const place = await makePlace(t)
  const run = await withTenant(place)
  const path = join(place.directory, 'key')
  const byFile = { STRATA_KEY_FILE: path }
  const added = await ok(run(['key', 'add', `key-file:${path}`, '--json'], first))
  assert.deepEqual(added['opensWith'], ['passphrase', 'keyFile'])
  assert.equal((await stat(path)).mode & 0o777, 0o600)
  await ok(run(['key', 'remove', 'passphrase', '--json'], byFile))
  await refused('E_KEY_MISSING', run(['key', 'show', '--json'], first))
  await refused('E_KEY_LAST', run(['key', 'remove', 'key-file', '--json'], byFile))
  await ok(run(['key', 'passphrase', '--json'], { ...byFile, STRATA_NEW_PASSPHRASE: 'one more passphrase' }))
  await ok(run(['key', 'show', '--json'], { STRATA_PASSPHRASE: 'one more passphrase' }))
})

test('a rotation needs every secret, renews the keyring, and leaves the sheet good', async (t) => {
  const place = await makePlace(t)
  const run = await withTenant(place)
  const path = join(place.directory, 'key')
  await ok(run(['key', 'add', `key-file:${path}`, '--json'], first))
  const old = join(place.directory, 'old-keyring.json')
  await copyFile(place.keyring, old)
  const lacking = await refused('E_KEY_MISSING', run(['key', 'rotate', '--json'], first))
  assert.match(lacking.stdout, /to rotate the keys the key file must be given/)
  const all = { ...first, STRATA_KEY_FILE: path }
  const rotated = await ok(run(['key', 'rotate', '--json'], all))
  assert.deepEqual([rotated['revision'], rotated['generation'], rotated['resumed']], [3, 2, false])
  for (const secret of [first, { STRATA_KEY_FILE: path }]) await ok(run(['key', 'show', '--json'], secret))
  assert.match(await readFile(place.keyring, 'utf8'), /"currentGeneration": 2/)
  // A machine that was not there: its keyring serves as before, and is renewed with a secret.
  const elsewhere = { STRATA_KEYRING: old }
  assert.deepEqual(await ok(run(['points', '--json'], elsewhere)), [])
  const renewed = await run(['key', 'show', '--json'], { ...elsewhere, ...first })
  assert.match(renewed.stderr, /was renewed, since its keys were rotated/)
  assert.deepEqual(await readFile(old), await readFile(place.keyring))
})

test('a recovery sheet opens the tenant with nothing else, tells slips, and is replaced by the next', async (t) => {
  const place = await makePlace(t)
  const run = await withTenant(place)
  const sheet = await run(['key', 'sheet'], first)
  assert.equal(sheet.code, 0, sheet.stderr)
  for (const line of sheet.stdout.split('\n')) assert.ok(line.length <= 80 || line.includes('file://'), line)
  const lines = recoveryLines(sheet.stdout)
  const tenant = /--tenant ([0-9a-f]{32})$/m.exec(sheet.stdout)?.[1] ?? ''
  const url = /export STRATA_STORE='([^']+)'/.exec(sheet.stdout)?.[1] ?? ''

  await rm(join(place.directory, 'state'), { recursive: true })
  const points = ['points', '--json', '--tenant', tenant]
  const paper = { STRATA_STORE: url, STRATA_RECOVERY_KEY: lines.toLowerCase() }
  const wrong = lines.split('\n').with(2, 'AAAA-AAAA-AAAA-AAAA').join('\n')
  const slip = await refused('E_RECOVERY_KEY', run(points, { ...paper, STRATA_RECOVERY_KEY: wrong }))
  assert.match(slip.stdout, /line 3 has a slip/)
  await refused('E_KEY_MISSING', run([...points, '--recovery-key'], { STRATA_STORE: url }))
  assert.deepEqual(await ok(run(points, paper)), [])

  const to = join(place.directory, 'sheet.txt')
  const next = await ok(run(['key', 'sheet', '--to', to, '--json'], paper))
  assert.deepEqual([next['file'], next['replaces'], next['opensWith']], [to, true, ['passphrase', 'recoverySheet']])
  assert.ok(!('recoveryKey' in next))
  assert.equal((await stat(to)).mode & 0o777, 0o600)
  await refused('E_KEY_WRONG', run(['key', 'show', '--json'], paper))
  const latest = { STRATA_RECOVERY_KEY: recoveryLines(await readFile(to, 'utf8')) }
  await refused('E_KEY_FILE_EXISTS', run(['key', 'sheet', '--to', to, '--json'], latest))
  await ok(run(['key', 'remove', 'recovery-sheet', '--json'], latest))
  await refused('E_KEY_MISSING', run(['key', 'show', '--json'], latest))
})

test('two people and a delay destroy a tenant; each step is refused before its time, and afterwards all say so', async (t) => {
  const place = await makePlace(t)
  const run = await withTenant(place)
  const path = join(place.directory, 'key')
  const byFile = { STRATA_KEY_FILE: path }
  const destroy = (...step: readonly string[]): string[] => ['key', 'destroy', '--json', '--tenant', 'Baker', ...step]
  await refused('E_DESTROY_REFUSED', run(destroy('--request'), first))
  await ok(run(['key', 'add', `key-file:${path}`, '--json'], first))
  assert.equal((await ok(run(['key', 'destroy', '--json'])))['state'], 'none')
  await refused('E_DESTROY_REFUSED', run(destroy('--confirm'), first))
  await refused('E_DESTROY_REFUSED', run(destroy('--request', '--delay', '6d'), first))
  const asked = await ok(run(destroy('--request', '--delay', '7d'), first))
  assert.deepEqual([asked['state'], asked['requestedBy']], ['requested', 'passphrase'])
  await refused('E_DESTROY_REFUSED', run(destroy('--confirm'), first))
  await refused('E_DESTROY_PENDING', run(['key', 'rotate', '--json'], { ...first, ...byFile }))
  const change = { ...first, STRATA_NEW_PASSPHRASE: 'another, while it is pending' }
  await refused('E_DESTROY_PENDING', run(['key', 'passphrase', '--json'], change))
  const confirmed = await ok(run(destroy('--confirm'), byFile))
  assert.deepEqual([confirmed['state'], confirmed['confirmedBy']], ['confirmed', 'keyFile'])
  await refused('E_DESTROY_REFUSED', run(destroy('--execute'), byFile))
  assert.match((await run(['points', '--json'])).stderr, /W_DESTRUCTION_PENDING.* is confirmed, and due at /)
  await refused('E_KEY_FOREIGN', run(['key', 'destroy', '--json', '--tenant', 'Miller', '--execute'], byFile))
  assert.equal((await ok(run(destroy('--cancel'), first)))['state'], 'cancelled')
  assert.equal((await ok(run(['key', 'destroy', '--json'])))['state'], 'cancelled')
  await ok(run(['key', 'passphrase', '--json'], change))
})
