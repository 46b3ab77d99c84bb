import assert from 'node:assert/strict'
import { chmod, copyFile, mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { after, before, test } from 'node:test'
import type { ErrorCode } from '@strata/shared/errors.ts'
import { redisRequirement } from '../servers/redis.ts'
import { describeWith } from '../servers/require-server.ts'
import { Place } from './place.ts'

/** Keys that are wrong, another's, damaged, open to all, or gone. */
describeWith(redisRequirement, 'bad input: keys', () => {
  let place: Place
  let backup: readonly string[]
  let keyring: string
  const restore = ['restore', 'latest:good', '--to', 'target.img']
  /** Instead of the place's key file. */
  const secret = (passphrase: string | undefined): Readonly<Record<string, string | undefined>> => ({
    STRATA_KEY_FILE: undefined,
    STRATA_PASSPHRASE: passphrase,
  })

  before(async () => {
    place = await Place.empty()
    await place.answersWith({ env: secret('right horse') }, 'init')
    await copyFile(import.meta.filename, place.file('disk.img'))
    await place.backUpGood()
    backup = ['backup', place.file('disk.img'), '--set', 'good']
    keyring = place.file('state/keyring.json')
  })
  after(() => place[Symbol.asyncDispose]())

  test('no secret, a wrong one, and a right one that is not of this kind', async () => {
    await place.refuses('E_KEY_MISSING', restore, { env: secret(undefined) })
    await place.refuses('E_KEY_MISSING', restore, { env: secret('') })
    await place.refuses('E_KEY_WRONG', restore, { env: secret('wrong horse') })
    await place.refuses('E_KEY_WRONG', restore, { env: secret('right horse ') })
    await place.refuses('E_KEY_MISSING', ['verify', '--all'], { env: secret(undefined) })
    // A backup needs none.
    await place.answersWith({ env: secret(undefined) }, ...backup)
    await place.answersWith({ env: secret('right horse') }, ...restore)
  })

  test('a key file that is missing, damaged, open to others, or none', async () => {
    const path = place.file('some-key')
    const env = { STRATA_KEY_FILE: path }
    await place.refuses('E_KEY_MISSING', restore, { env })
    await writeFile(path, 'Strata key file 1\nshort\n', { mode: 0o600 })
    await place.refuses('E_KEY_WRONG', restore, { env })
    await writeFile(path, `Strata key file 2\n${Buffer.alloc(32).toString('base64')}\n`)
    await place.refuses('E_FORMAT_NEWER', restore, { env })
    await writeFile(path, `Strata key file 1\n${Buffer.alloc(32).toString('base64')}\n`)
    await place.refuses('E_KEY_MISSING', restore, { env })
    await chmod(path, 0o644)
    await place.refuses('E_CONFIGURATION', restore, { env })
    await place.refuses('E_CONFIGURATION', restore, { env: { STRATA_KEY_FILE: place.directory.path } })
  })

  test('a keyring that is damaged, cut, of another kind, newer, or too long', async () => {
    const whole = await readFile(keyring, 'utf8')
    const members = JSON.parse(whole) as { indexKeys: { key: string }[] }
    const spoiled: readonly (readonly [string, ErrorCode])[] = [
      ['', 'E_KEYRING_DAMAGED'],
      [whole.slice(0, -20), 'E_KEYRING_DAMAGED'],
      ['{}', 'E_KEYRING_DAMAGED'],
      ['null', 'E_KEYRING_DAMAGED'],
      [JSON.stringify({ ...members, indexKeys: [] }), 'E_KEYRING_DAMAGED'],
      [JSON.stringify({ ...members, currentGeneration: 2 }), 'E_KEYRING_DAMAGED'],
      [`${' '.repeat(2 * 1024 * 1024)}${whole}`, 'E_KEYRING_DAMAGED'],
      [JSON.stringify({ ...members, version: 2 }), 'E_FORMAT_NEWER'],
    ]
    try {
      for (const [text, code] of spoiled) {
        await writeFile(keyring, text)
        const error = await place.refuses(code, ['points'])
        for (const { key } of members.indexKeys) assert.ok(!JSON.stringify(error).includes(key.slice(0, 16)))
      }
      await place.refuses('E_FORMAT_NEWER', backup)
      // Keys that look like keys, and are not the tenant's: what they seal could be opened by nobody.
      const indexKeys = members.indexKeys.map((one) => ({ ...one, key: 'ab'.repeat(32) }))
      await writeFile(keyring, JSON.stringify({ ...members, indexKeys }))
      await place.refuses('E_KEYRING_DAMAGED', backup)
      await writeFile(keyring, JSON.stringify({ ...members, publicKey: 'ab'.repeat(32) }))
      await place.refuses('E_KEY_FOREIGN', backup)
    } finally {
      await writeFile(keyring, whole)
    }
    await place.backUpGood()
  })

  test('a keyring that others may read or write, or that is no file', async () => {
    for (const mode of [0o644, 0o620, 0o604]) {
      await chmod(keyring, mode)
      const { hint } = await place.refuses('E_CONFIGURATION', backup)
      assert.match(hint, /chmod 600/)
    }
    await chmod(keyring, 0o600)
    await mkdir(place.file('folder'))
    await place.refuses('E_CONFIGURATION', ['points', '--keyring', place.file('folder')])
    await place.backUpGood()
  })

  test("another tenant's keyring, and another repository's", async () => {
    await using other = await Place.withPoint()
    await place.refuses('E_KEY_FOREIGN', backup, { env: { STRATA_KEYRING: other.file('state/keyring.json') } })
    await place.refuses('E_KEY_FOREIGN', restore, { env: { STRATA_KEYRING: other.file('state/keyring.json') } })
    const env = { STRATA_STATE: place.file('second') }
    await place.answersWith({ env }, 'init', '--tenant', 'second')
    // A tenant of the same store sees its own points only, and its secret opens nothing of others.
    assert.deepEqual(await place.answersWith({ env }, 'points'), [])
    await place.refuses('E_SET_UNKNOWN', restore, { env })
    await place.refuses('E_KEY_FOREIGN', [...backup, '--tenant', 'third'])
    await place.backUpGood()
  })

  test('a lost keyring: refused without a secret, rebuilt with one, and by no wrong one', async () => {
    const whole = await readFile(keyring, 'utf8')
    await rm(keyring)
    for (const args of [backup, ['points'], restore]) {
      await place.refuses('E_KEYRING_MISSING', args, { env: secret(undefined) })
    }
    await place.refuses('E_KEY_WRONG', backup, { env: secret('wrong horse') })
    await assert.rejects(readFile(keyring), { code: 'ENOENT' })
    const answer = await place.answersWith<{ kind: string }>({ env: secret('right horse') }, ...backup)
    assert.equal(answer.kind, 'incremental')
    assert.equal(await readFile(keyring, 'utf8'), whole)
    await place.backUpGood()
  })

  test('init over what is there changes nothing', async () => {
    const before = [await place.storedFiles(), await readFile(keyring, 'utf8')]
    await place.refuses('E_TENANT_EXISTS', ['init'], { env: secret('other') })
    await place.refuses('E_KEY_MISSING', ['init'], { env: { ...secret(undefined), STRATA_STATE: place.file('third') } })
    assert.deepEqual([await place.storedFiles(), await readFile(keyring, 'utf8')], before)
    await place.backUpGood()
  })
})
