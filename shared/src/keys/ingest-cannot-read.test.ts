import assert from 'node:assert/strict'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { systemRandomBytes } from '../clock.ts'
import { blockDigest } from '../format/digest.ts'
import { encodeDataFooter } from '../format/pack.ts'
import { SealingKey, SaltedNonces } from '../format/xaes.ts'
import { encodeWrappedDataKey, type WrappedDataKey } from '../format/wrapped-key.ts'
import { idFromBytes, idToBytes, type Id, type TenantId } from '../types.ts'
import { createDataKey, openDataKey } from './data-keys.ts'
import { blockDigestKey, treeDigestKey, setIdFromName } from './derive.ts'
import { generateKeyPair } from './hpke.ts'
import type { IngestKeys } from './ingest-keys.ts'
import { readKeyring, writeKeyring } from './keyring.ts'
import { encodeTenantKeys, type TenantKeysDocument } from './tenant-document.ts'
import { createTenantKeys, unlockTenant } from './tenant-keys.ts'
import { TenantPrivateKey } from './tenant-private-key.ts'

/**
 * Promise 5: ingest can write and cannot read history. Here is everything an ingest machine has: its keyring, the
 * whole store (the keys document, every wrapped key, the sealed record, the footer of its pack, which it can open) and
 * the data key that it made itself for its own session. The record is one of an earlier session.
 */
const aad = Buffer.from('a record of an earlier session')
const block = Buffer.alloc(4096, 'customer data ')
let directory: string
let ingest: IngestKeys
let document: TenantKeysDocument
let privateKey: TenantPrivateKey
let earlier: { wrapped: WrappedDataKey; nonce: Uint8Array; sealed: Uint8Array }
let haystacks: Uint8Array[]

before(async () => {
  directory = await mkdtemp(join(tmpdir(), 'strata-ingest-'))
  const created = await createTenantKeys({
    tenantId: idFromBytes<TenantId>(systemRandomBytes(16)),
    repositoryId: idFromBytes<Id>(systemRandomBytes(16)),
    tenantName: 'a tenant',
    unlock: { keyFile: systemRandomBytes(32) },
    random: systemRandomBytes,
  })
  document = created.document
  privateKey = created.privateKey
  const path = join(directory, 'keyring')
  await writeKeyring(path, { ...created.ingest, tenantName: 'a tenant' }, { overwrite: false })
  ingest = await readKeyring(path)

  const dataKey = await createDataKey(ingest.publicKey, ingest.tenantId, systemRandomBytes)
  const nonce = new SaltedNonces(systemRandomBytes).next()
  earlier = { wrapped: dataKey.wrapped, nonce, sealed: new SealingKey(dataKey.key).seal(nonce, aad, block) }

  const own = await createDataKey(ingest.publicKey, ingest.tenantId, systemRandomBytes)
  const indexKey = ingest.indexKeys.get(1) ?? new Uint8Array(0)
  const set = setIdFromName(indexKey, 'default')
  const digestKey = blockDigestKey(indexKey, set)
  haystacks = [
    encodeTenantKeys(document),
    await readFile(path),
    ...hexStringsIn(await readFile(path, 'utf8')),
    ...document.indexKeys.flatMap((key) => [Buffer.from(key.encapsulated, 'hex'), Buffer.from(key.sealed, 'hex')]),
    ...document.privateKeyWraps.flatMap((wrap) => [Buffer.from(wrap.sealed, 'hex'), Buffer.from(wrap.salt, 'hex')]),
    Buffer.from(document.mac, 'hex'),
    ingest.publicKey,
    ...ingest.indexKeys.values(),
    digestKey,
    treeDigestKey(indexKey, set),
    own.key,
    encodeWrappedDataKey(own.wrapped),
    encodeWrappedDataKey(earlier.wrapped),
    encodeDataFooter(
      {
        disk: 0,
        segment: 0,
        dataKeys: [earlier.wrapped],
        entries: [{ state: 'record', block: 0, digest: blockDigest(digestKey, block), piece: 0, key: 0 }],
      },
      1,
    ),
    Buffer.concat([earlier.nonce, earlier.sealed.subarray(0, 256)]),
    new Uint8Array(32),
  ]
})

after(async () => {
  await rm(directory, { recursive: true, force: true })
})

/** What a text holds in hex, as bytes: whatever it is called there. */
function hexStringsIn(text: string): Uint8Array[] {
  return (text.match(/[0-9a-f]{32,}/g) ?? []).map((digits) => Buffer.from(digits, 'hex'))
}

/** Every 32 bytes in a row out of everything ingest has. */
function* candidateKeys(): Generator<Uint8Array> {
  for (const bytes of haystacks) {
    for (let at = 0; at + 32 <= bytes.length; at++) yield bytes.subarray(at, at + 32)
  }
}

test('the holder of the private key reads the earlier record', async () => {
  const { key } = await openDataKey(privateKey, ingest.tenantId, earlier.wrapped)
  assert.ok(Buffer.from(new SealingKey(key).open(earlier.nonce, aad, earlier.sealed)).equals(block))
})

test('nothing that ingest holds is the private key, the earlier data key or contains one of them', async () => {
  const { key } = await openDataKey(privateKey, ingest.tenantId, earlier.wrapped)
  for (const secret of [privateKey.bytes(), key]) {
    for (const bytes of haystacks) {
      assert.equal(Buffer.from(bytes).indexOf(secret), -1)
      assert.equal(Buffer.from(bytes).indexOf(Buffer.from(secret).toString('hex')), -1)
    }
  }
})

test('no 32 bytes that ingest holds open the earlier record', () => {
  let tried = 0
  for (const key of candidateKeys()) {
    tried += 1
    assert.throws(() => new SealingKey(key).open(earlier.nonce, aad, earlier.sealed), { code: 'E_SEAL_BROKEN' })
  }
  assert.ok(tried > 1000)
})

test('no 32 bytes that ingest holds serve as the private key', async () => {
  // The document's text is tried above as keys of the record; as private keys its decoded members are enough.
  for (const bytes of haystacks.slice(1)) {
    for (let at = 0; at + 32 <= bytes.length; at += 16) {
      const candidate = new TenantPrivateKey(ingest, ingest.publicKey, bytes.subarray(at, at + 32))
      await assert.rejects(openDataKey(candidate, ingest.tenantId, earlier.wrapped), { code: 'E_SEAL_BROKEN' })
    }
  }
})

test('the tenant does not unlock with anything ingest holds, or with nothing', async () => {
  await assert.rejects(unlockTenant(document, {}, ingest), { code: 'E_KEY_MISSING' })
  for (const keyFile of candidateKeys()) {
    await assert.rejects(unlockTenant(document, { keyFile }, ingest), { code: 'E_KEY_WRONG' })
  }
})

test("a key pair of ingest's own making, under the tenant's ids, opens nothing", async () => {
  const pair = await generateKeyPair(systemRandomBytes)
  const own = new TenantPrivateKey(ingest, pair.publicKey, pair.privateKey)
  await assert.rejects(openDataKey(own, ingest.tenantId, earlier.wrapped), { code: 'E_SEAL_BROKEN' })

  const keyFile = systemRandomBytes(32)
  const forged = await createTenantKeys({ ...ingest, tenantName: 'x', unlock: { keyFile }, random: systemRandomBytes })
  // Its own wrap beside the tenant's public key: the wrap is bound to the public key that it was made for.
  const mixed = { ...document, privateKeyWraps: forged.document.privateKeyWraps }
  await assert.rejects(unlockTenant(mixed, { keyFile }, ingest), { code: 'E_KEY_WRONG' })
  const unlocked = await unlockTenant(forged.document, { keyFile }, ingest)
  await assert.rejects(openDataKey(unlocked, ingest.tenantId, earlier.wrapped), { code: 'E_SEAL_BROKEN' })
})

test("the earlier wrapped key does not open as another key's, whatever is exchanged in it", async () => {
  const own = await createDataKey(ingest.publicKey, ingest.tenantId, systemRandomBytes)
  for (const mixed of [
    { ...earlier.wrapped, keyId: own.keyId },
    { ...earlier.wrapped, encapsulated: own.wrapped.encapsulated },
    { ...earlier.wrapped, sealed: own.wrapped.sealed },
  ]) {
    await assert.rejects(openDataKey(privateKey, ingest.tenantId, mixed), { code: 'E_SEAL_BROKEN' })
  }
  assert.equal(idToBytes(own.keyId).length, 16)
})
