import assert from 'node:assert/strict'
import { test } from 'node:test'
import { inspect } from 'node:util'
import { systemRandomBytes } from '../clock.ts'
import { hasCode } from '../errors.ts'
import { nameCharsMax, passphraseBytesMax } from '../limits.ts'
import { idFromBytes, type Id, type TenantId } from '../types.ts'
import { sealTo } from './hpke.ts'
import { decodeTenantKeys, encodeTenantKeys, type TenantKeysDocument } from './tenant-document.ts'
import {
  createTenantKeys,
  ingestKeysFrom,
  openTenantName,
  unlockTenant,
  type CreatedTenant,
  type UnlockSecrets,
} from './tenant-keys.ts'

const newTenantId = (): TenantId => idFromBytes<TenantId>(systemRandomBytes(16))
const newRepositoryId = (): Id => idFromBytes<Id>(systemRandomBytes(16))
const fileKey = new Uint8Array(32).fill(0x5a)

function create(unlock: UnlockSecrets = { keyFile: fileKey }, tenantName = 'Müller & Söhne'): Promise<CreatedTenant> {
  return createTenantKeys({
    tenantId: newTenantId(),
    repositoryId: newRepositoryId(),
    tenantName,
    unlock,
    random: systemRandomBytes,
  })
}

/** Passphrases cost a third of a second each time, so the tests that need one share a tenant. */
const byBoth = create({ passphrase: 'Pa\u00dfwort \u212b 9', keyFile: fileKey })

test('a tenant comes back whole from its document with a key file', async () => {
  const { document, ingest, privateKey } = await create()
  assert.equal(document.revision, 1)
  const stored = decodeTenantKeys(encodeTenantKeys(document))
  const unlocked = await unlockTenant(stored, { keyFile: fileKey }, ingest)
  assert.deepEqual([...unlocked.bytes()], [...privateKey.bytes()])
  const found = await ingestKeysFrom(stored, unlocked)
  assert.equal(found.tenantId, ingest.tenantId)
  assert.equal(found.repositoryId, ingest.repositoryId)
  assert.equal(found.currentGeneration, 1)
  assert.deepEqual([...found.publicKey], [...ingest.publicKey])
  assert.deepEqual([...(found.indexKeys.get(1) ?? [])], [...(ingest.indexKeys.get(1) ?? ['none'])])
  assert.equal(openTenantName(stored, found), 'Müller & Söhne')
})

test('with passphrase and key file each opens the tenant alone', async () => {
  const { document, ingest, privateKey } = await byBoth
  const key = [...privateKey.bytes()]
  assert.deepEqual([...(await unlockTenant(document, { keyFile: fileKey }, ingest)).bytes()], key)
  assert.deepEqual([...(await unlockTenant(document, { passphrase: 'Pa\u00dfwort \u212b 9' }, ingest)).bytes()], key)
})

test('a passphrase is the same however its characters are composed (NFKC)', async () => {
  const { document, ingest, privateKey } = await byBoth
  const unlocked = await unlockTenant(document, { passphrase: 'Pa\u00dfwort A\u030a 9' }, ingest)
  assert.deepEqual([...unlocked.bytes()], [...privateKey.bytes()])
})

test('wrong, missing and foreign are three different errors', async () => {
  const { document, ingest } = await byBoth
  const wrong = { code: 'E_KEY_WRONG' }
  await assert.rejects(unlockTenant(document, { passphrase: 'Passwort \u212b 9' }, ingest), wrong)
  await assert.rejects(unlockTenant(document, { keyFile: new Uint8Array(32) }, ingest), wrong)

  const missing = { code: 'E_KEY_MISSING' }
  await assert.rejects(unlockTenant(document, {}, ingest), missing)
  await assert.rejects(unlockTenant(document, { passphrase: '' }, ingest), missing)
  await assert.rejects(unlockTenant(document, { passphrase: undefined, keyFile: undefined }, ingest), missing)

  const foreign = { code: 'E_KEY_FOREIGN' }
  const right = { keyFile: fileKey }
  await assert.rejects(unlockTenant(document, right, { ...ingest, tenantId: newTenantId() }), foreign)
  await assert.rejects(unlockTenant(document, right, { ...ingest, repositoryId: newRepositoryId() }), foreign)
})

test('what was given but has no wrap of its kind is missing, and the message says what would help', async () => {
  const { document, ingest } = await create({ keyFile: fileKey })
  await assert.rejects(unlockTenant(document, { passphrase: 'a passphrase' }, ingest), (error) => {
    assert.ok(hasCode(error, 'E_KEY_MISSING'))
    assert.match(error.message, /the key file/)
    assert.doesNotMatch(error.message, /passphrase/)
    return true
  })
})

test('a wrong secret of one kind does not hide a right one of the other', async () => {
  const { document, ingest, privateKey } = await byBoth
  const unlocked = await unlockTenant(
    document,
    { keyFile: new Uint8Array(32), passphrase: 'Pa\u00dfwort \u212b 9' },
    ingest,
  )
  assert.deepEqual([...unlocked.bytes()], [...privateKey.bytes()])
})

test('keys of one tenant do not serve another', async () => {
  const a = await create()
  const b = await create()
  const foreign = { code: 'E_KEY_FOREIGN' }
  await assert.rejects(ingestKeysFrom(a.document, b.privateKey), foreign)
  assert.throws(() => openTenantName(a.document, b.ingest), foreign)
})

test('another key pair under the same ids is foreign', async () => {
  const a = await create()
  const impostor = await createTenantKeys({
    ...a.ingest,
    tenantName: 'x',
    unlock: { keyFile: fileKey },
    random: systemRandomBytes,
  })
  await assert.rejects(ingestKeysFrom(impostor.document, a.privateKey), { code: 'E_KEY_FOREIGN' })
})

test('an index key that somebody else sealed to the tenant is found out', async () => {
  const { document, ingest, privateKey } = await create()
  // All that is needed for this is open in the document: HPKE does not say who sealed.
  const info = Buffer.concat([
    Buffer.from('strata/v1/index-key'),
    Buffer.from(ingest.tenantId, 'hex'),
    Uint8Array.of(1, 0, 0, 0),
  ])
  const message = await sealTo(
    ingest.publicKey,
    { info, aad: new Uint8Array(0) },
    new Uint8Array(32),
    systemRandomBytes,
  )
  const planted: TenantKeysDocument = {
    ...document,
    indexKeys: [
      {
        generation: 1,
        encapsulated: Buffer.from(message.encapsulated).toString('hex'),
        sealed: Buffer.from(message.sealed).toString('hex'),
      },
    ],
  }
  const broken = { code: 'E_SEAL_BROKEN' }
  await assert.rejects(unlockTenant(planted, { keyFile: fileKey }, ingest), broken)
  await assert.rejects(ingestKeysFrom(planted, privateKey), broken)
})

/** All leaves of a JSON value, as paths. */
function* leavesOf(value: unknown, path: readonly string[] = []): Generator<readonly string[]> {
  if (typeof value === 'object' && value !== null) {
    for (const [name, member] of Object.entries(value)) yield* leavesOf(member, [...path, name])
  } else yield path
}

function altered(document: TenantKeysDocument, path: readonly string[], change: (leaf: unknown) => unknown): unknown {
  const copy: unknown = structuredClone(document)
  let at = copy as Record<string, unknown>
  for (const name of path.slice(0, -1)) at = at[name] as Record<string, unknown>
  const last = path.at(-1) ?? ''
  at[last] = change(at[last])
  return copy
}

/** Another value of the same form: the last hex digit or the number changed. */
function nudge(leaf: unknown): unknown {
  if (typeof leaf === 'number') return leaf + 1
  const text = String(leaf)
  return text.slice(0, -1) + (text.endsWith('0') ? '1' : '0')
}

test('with any member altered, a document is refused with a code, whichever way it is opened', async () => {
  const { document, ingest, privateKey } = await byBoth
  const paths = [...leavesOf(document)]
  assert.ok(paths.length > 20)
  for (const path of paths) {
    const text = Buffer.from(JSON.stringify(altered(document, path, nudge)), 'utf8')
    const open = async (): Promise<void> => {
      const decoded = decodeTenantKeys(text)
      await unlockTenant(decoded, { keyFile: fileKey }, ingest)
      await ingestKeysFrom(decoded, privateKey)
    }
    await assert.rejects(
      open(),
      (error) =>
        hasCode(
          error,
          'E_FORMAT_DAMAGED',
          'E_FORMAT_KIND',
          'E_FORMAT_NEWER',
          'E_KEY_FOREIGN',
          'E_KEY_WRONG',
          'E_SEAL_BROKEN',
        ),
      `${path.join('.')} was altered and nobody noticed`,
    )
  }
})

test('parameters of scrypt that were altered within bounds do not open', async () => {
  const { document, ingest } = await byBoth
  const index = document.privateKeyWraps.findIndex((wrap) => wrap.kind === 'passphrase')
  const weaker = altered(document, ['privateKeyWraps', String(index), 'N'], () => 1024)
  const decoded = decodeTenantKeys(Buffer.from(JSON.stringify(weaker), 'utf8'))
  await assert.rejects(unlockTenant(decoded, { passphrase: 'Pa\u00dfwort \u212b 9' }, ingest), { code: 'E_KEY_WRONG' })
})

test('a wrap carried over from another tenant does not open there', async () => {
  const a = await create()
  const b = await create()
  const mixed = { ...b.document, privateKeyWraps: a.document.privateKeyWraps }
  await assert.rejects(unlockTenant(mixed, { keyFile: fileKey }, b.ingest), { code: 'E_KEY_WRONG' })
})

test('a new tenant needs something to unlock it with, and a name', async () => {
  await assert.rejects(create({}), { code: 'E_KEY_MISSING' })
  await assert.rejects(create({ passphrase: '' }), { code: 'E_KEY_MISSING' })
  for (const name of ['', 'x'.repeat(nameCharsMax + 1), '\ud800']) {
    await assert.rejects(create({ keyFile: fileKey }, name), { code: 'E_LIMIT' })
  }
})

test('the longest names fit', async () => {
  for (const name of ['x'.repeat(nameCharsMax), '\u20ac'.repeat(nameCharsMax), '\u{1f4be}'.repeat(nameCharsMax / 2)]) {
    const { document, ingest } = await create({ keyFile: fileKey }, name)
    assert.equal(openTenantName(decodeTenantKeys(encodeTenantKeys(document)), ingest), name)
  }
})

test('passphrases that are too long or not text are refused by name', async () => {
  await assert.rejects(create({ passphrase: 'x'.repeat(passphraseBytesMax + 1) }), { code: 'E_LIMIT' })
  await assert.rejects(create({ passphrase: '\u20ac'.repeat(passphraseBytesMax / 2) }), { code: 'E_LIMIT' })
  await assert.rejects(create({ passphrase: 'half a pair: \ud800' }), { code: 'E_CONFIGURATION' })
})

test("neither the document nor a printed key shows a secret or the tenant's name", async () => {
  const { document, ingest, privateKey } = await byBoth
  const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')
  const secrets = [hex(privateKey.bytes()), hex(ingest.indexKeys.get(1) ?? new Uint8Array(0)), hex(fileKey)]
  const shown =
    Buffer.from(encodeTenantKeys(document)).toString('utf8') + inspect(privateKey) + JSON.stringify(privateKey)
  for (const secret of [...secrets, 'Müller', hex(Buffer.from('Müller'))]) {
    assert.ok(secret.length > 5 && !shown.includes(secret))
  }
})
