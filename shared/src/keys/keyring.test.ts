import assert from 'node:assert/strict'
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, stat, symlink, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { inspect } from 'node:util'
import { systemRandomBytes } from '../clock.ts'
import { hasCode } from '../errors.ts'
import { keyFileBytesMax, keyringBytesMax } from '../limits.ts'
import { idFromBytes, type Id, type TenantId } from '../types.ts'
import { createKeyFile, readKeyFile } from './key-file.ts'
import { readKeyring, writeKeyring, type Keyring } from './keyring.ts'

let directory: string
let count = 0
const newPath = (): string => join(directory, String((count += 1)), 'file')

before(async () => {
  directory = await mkdtemp(join(tmpdir(), 'strata-keyring-'))
})
after(async () => {
  await rm(directory, { recursive: true, force: true })
})

function newKeyring(): Keyring {
  return {
    repositoryId: idFromBytes<Id>(systemRandomBytes(16)),
    tenantId: idFromBytes<TenantId>(systemRandomBytes(16)),
    tenantName: 'Büro',
    publicKey: new Uint8Array(systemRandomBytes(32)),
    indexKeys: new Map([
      [1, new Uint8Array(systemRandomBytes(32))],
      [2, new Uint8Array(systemRandomBytes(32))],
    ]),
    currentGeneration: 2,
  }
}

async function modeOf(path: string): Promise<number> {
  return (await stat(path)).mode & 0o777
}

test('a keyring comes back as it was written, for its owner only, with nothing left beside it', async () => {
  const path = join(directory, 'made', 'on', 'the', 'way', 'keyring.json')
  const keyring = newKeyring()
  await writeKeyring(path, keyring, { overwrite: false })
  assert.deepEqual(await readKeyring(path), { ...keyring, mayBeBehind: true })
  assert.equal(await modeOf(path), 0o600)
  for (const made of ['made', 'made/on', 'made/on/the/way']) assert.equal(await modeOf(join(directory, made)), 0o700)
  assert.deepEqual(await readdir(join(path, '..')), ['keyring.json'])
  assert.equal((await stat(path)).nlink, 1)
})

test('a keyring that exists stays as it is unless it is to be replaced', async () => {
  const path = newPath()
  const [first, second] = [newKeyring(), newKeyring()]
  await writeKeyring(path, first, { overwrite: false })
  await assert.rejects(writeKeyring(path, second, { overwrite: false }), { code: 'E_TENANT_EXISTS' })
  assert.deepEqual(await readKeyring(path), { ...first, mayBeBehind: true })
  await writeKeyring(path, second, { overwrite: true })
  assert.deepEqual(await readKeyring(path), { ...second, mayBeBehind: true })
  assert.deepEqual(await readdir(join(path, '..')), ['file'])
})

test('of several writers at once exactly one succeeds', async () => {
  const path = newPath()
  const keyrings = Array.from({ length: 8 }, newKeyring)
  const results = await Promise.allSettled(keyrings.map((keyring) => writeKeyring(path, keyring, { overwrite: false })))
  const winners = results.flatMap((result, i) => (result.status === 'fulfilled' ? [i] : []))
  assert.equal(winners.length, 1)
  for (const result of results) assert.ok(result.status === 'fulfilled' || hasCode(result.reason, 'E_TENANT_EXISTS'))
  assert.deepEqual(await readKeyring(path), { ...keyrings[winners[0] ?? -1], mayBeBehind: true })
})

test('a private key that is passed along with the keyring is not written', async () => {
  const path = newPath()
  const secret = systemRandomBytes(32)
  const keyring = { ...newKeyring(), privateKey: Buffer.from(secret).toString('hex') }
  await writeKeyring(path, keyring, { overwrite: false })
  const text = await readFile(path, 'utf8')
  assert.ok(!text.includes('privateKey') && !text.includes(keyring.privateKey))
})

test('a missing keyring and a damaged one are told apart', async () => {
  const path = newPath()
  await assert.rejects(readKeyring(path), { code: 'E_KEYRING_MISSING' })
  await writeKeyring(path, newKeyring(), { overwrite: false })
  const text = await readFile(path, 'utf8')
  const faults = [
    '',
    text.slice(0, -10),
    text.replace('"keyring"', '"tenant-keys"'),
    text.replace('"publicKey": "', '"publicKey": "00'),
    text.replace('"currentGeneration": 2', '"currentGeneration": 3'),
    text.replace('"generation": 1', '"generation": 7'),
  ]
  for (const fault of faults) {
    assert.notEqual(fault, text)
    await writeFile(path, fault, { mode: 0o600 })
    await assert.rejects(readKeyring(path), { code: 'E_KEYRING_DAMAGED' })
  }
  await writeFile(path, text.replace('"version": 1', '"version": 2'))
  await assert.rejects(readKeyring(path), { code: 'E_FORMAT_NEWER' })
  await truncate(path, keyringBytesMax + 1)
  await assert.rejects(readKeyring(path), { code: 'E_KEYRING_DAMAGED' })
})

test('the error of a damaged keyring shows nothing of what is in it', async () => {
  const path = newPath()
  const key = 'abcdef0123456789'.repeat(4)
  const keyring = { ...newKeyring(), indexKeys: new Map([[1, Buffer.from(key, 'hex')]]), currentGeneration: 1 }
  await writeKeyring(path, keyring, { overwrite: false })
  const text = await readFile(path, 'utf8')
  // The parser's own message quotes what stands around the fault; without its opening quote that is the key.
  const fault = text.replace(`"${key}"`, key)
  const shown = key.slice(0, 6)
  assert.throws(
    () => JSON.parse(fault),
    (error) => error instanceof Error && error.message.includes(shown),
  )
  await writeFile(path, fault)
  await assert.rejects(readKeyring(path), (error) => {
    assert.ok(hasCode(error, 'E_KEYRING_DAMAGED'))
    assert.ok(!inspect(error, { depth: 10 }).includes(shown))
    return true
  })
})

test('files that others may read or write are refused with the command that helps', async () => {
  const path = newPath()
  await writeKeyring(path, newKeyring(), { overwrite: false })
  const keyFile = newPath()
  await createKeyFile(keyFile, systemRandomBytes)
  for (const mode of [0o640, 0o604, 0o620, 0o666]) {
    await chmod(path, mode)
    await chmod(keyFile, mode)
    const refused = (refusedPath: string) => (error: unknown) => {
      assert.ok(hasCode(error, 'E_CONFIGURATION'))
      assert.ok(error.hint.includes(`chmod 600 ${refusedPath}`))
      return true
    }
    await assert.rejects(readKeyring(path), refused(path))
    await assert.rejects(readKeyFile(keyFile), refused(keyFile))
  }
  await chmod(path, 0o400)
  await readKeyring(path)
})

test('what is no file, or cannot be reached, is a matter of configuration', async () => {
  const path = newPath()
  await mkdir(path, { recursive: true })
  await assert.rejects(readKeyring(path), { code: 'E_CONFIGURATION' })
  await assert.rejects(writeKeyring(path, newKeyring(), { overwrite: true }), { code: 'E_CONFIGURATION' })
  const file = newPath()
  await writeKeyring(file, newKeyring(), { overwrite: false })
  await assert.rejects(writeKeyring(join(file, 'below', 'a-file'), newKeyring(), { overwrite: false }), {
    code: 'E_CONFIGURATION',
  })
  assert.deepEqual(await readdir(join(path, '..')), ['file'])
})

test('a key file comes back as it was made, is never overwritten, and says what it is', async () => {
  const path = newPath()
  const key = await createKeyFile(path, systemRandomBytes)
  assert.deepEqual([...(await readKeyFile(path))], [...key])
  assert.equal(await modeOf(path), 0o600)
  const text = await readFile(path, 'utf8')
  assert.match(text, /^Strata key file 1: [^\n]+\n[A-Za-z0-9+/]{43}=\n$/)
  await assert.rejects(createKeyFile(path, systemRandomBytes), { code: 'E_KEY_FILE_EXISTS' })
  assert.equal(await readFile(path, 'utf8'), text)
})

test('not even a dangling link is taken for a free name', async () => {
  const path = newPath()
  await mkdir(join(path, '..'))
  await symlink(join(directory, 'nowhere'), path)
  await assert.rejects(createKeyFile(path, systemRandomBytes), { code: 'E_KEY_FILE_EXISTS' })
})

test('a key file survives an editor of another system, and nothing else passes for one', async () => {
  const path = newPath()
  await assert.rejects(readKeyFile(path), { code: 'E_KEY_MISSING' })
  const key = await createKeyFile(path, systemRandomBytes)
  const text = await readFile(path, 'utf8')
  await writeFile(path, text.replaceAll('\n', '\r\n'))
  assert.deepEqual([...(await readKeyFile(path))], [...key])

  const [header = '', encoded = ''] = text.split('\n')
  const faults = [
    '',
    header,
    encoded,
    `${header}\n${encoded.slice(1)}\n`,
    `${header}\n${encoded}\n${encoded}\n`,
    `x${text}`,
  ]
  for (const fault of faults) {
    await writeFile(path, fault)
    await assert.rejects(readKeyFile(path), { code: 'E_KEY_WRONG' })
  }
  await writeFile(path, text.replace('file 1:', 'file 2:'))
  await assert.rejects(readKeyFile(path), { code: 'E_FORMAT_NEWER' })
  await truncate(path, keyFileBytesMax + 1)
  await assert.rejects(readKeyFile(path), { code: 'E_KEY_WRONG' })
})
