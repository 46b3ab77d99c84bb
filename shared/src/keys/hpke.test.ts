import assert from 'node:assert/strict'
import { createCipheriv, createHmac, createPrivateKey, createPublicKey, diffieHellman } from 'node:crypto'
import { test } from 'node:test'
import fc from 'fast-check'
import { systemRandomBytes } from '../clock.ts'
import { generateKeyPair, openFrom, sealTo } from './hpke.ts'

const fromHex = (text: string): Buffer => Buffer.from(text, 'hex')
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')

// From the vectors published with RFC 9180 (test-vectors.json of cfrg/draft-irtf-cfrg-hpke): mode 0, KEM 0x0020,
// KDF 0x0001, AEAD 0x0002, first encryption.
const vector = {
  info: fromHex('4f6465206f6e2061204772656369616e2055726e'),
  ikmE: fromHex('2cd7c601cefb3d42a62b04b7a9041494c06c7843818e0ce28a8f704ae7ab20f9'),
  ikmR: fromHex('dac33b0e9db1b59dbbea58d59a14e7b5896e9bdf98fad6891e99d1686492b9ee'),
  skRm: fromHex('497b4502664cfea5d5af0b39934dac72242a74f8480451e1aee7d6a53320333d'),
  pkRm: fromHex('430f4b9859665145a6b1ba274024487bd66f03a2dd577d7753c68d7d7d00c00c'),
  enc: fromHex('6c93e09869df3402d7bf231bf540fadd35cd56be14f97178f0954db94b7fc256'),
  aad: fromHex('436f756e742d30'),
  pt: fromHex('4265617574792069732074727574682c20747275746820626561757479'),
  ct: fromHex('e5d84cd531cfb583096e7cfa9641bd3079cf3a91cda813c52deb5f512be9931980a41de125a925cdad859d5b7a'),
}

test('derives, seals and opens the vector published with RFC 9180', async () => {
  const pair = await generateKeyPair(() => vector.ikmR)
  assert.equal(hex(pair.privateKey), hex(vector.skRm))
  assert.equal(hex(pair.publicKey), hex(vector.pkRm))

  const message = await sealTo(vector.pkRm, vector, vector.pt, () => vector.ikmE)
  assert.equal(hex(message.encapsulated), hex(vector.enc))
  assert.equal(hex(message.sealed), hex(vector.ct))

  assert.equal(
    hex(await openFrom(vector.skRm, vector, { encapsulated: vector.enc, sealed: vector.ct })),
    hex(vector.pt),
  )
})

/** RFC 9180 by hand, so that not only one vector binds us: encapsulation with a given ephemeral key, and the seal. */
function sealByHand(
  skE: Uint8Array,
  pkE: Uint8Array,
  pkR: Uint8Array,
  info: Uint8Array,
  aad: Uint8Array,
  pt: Uint8Array,
) {
  const mac = (key: Uint8Array, ...parts: Uint8Array[]): Buffer => {
    const hmac = createHmac('sha256', key)
    for (const part of parts) hmac.update(part)
    return hmac.digest()
  }
  const none = new Uint8Array(0)
  const text = (s: string): Buffer => Buffer.from(s, 'latin1')
  const extract = (suite: Uint8Array, salt: Uint8Array, label: string, ikm: Uint8Array): Buffer =>
    mac(salt, text('HPKE-v1'), suite, text(label), ikm)
  const expand = (suite: Uint8Array, prk: Uint8Array, label: string, context: Uint8Array, length: number): Buffer =>
    mac(prk, Uint8Array.of(0, length), text('HPKE-v1'), suite, text(label), context, Uint8Array.of(1)).subarray(
      0,
      length,
    )

  const privateKey = createPrivateKey({
    key: Buffer.concat([fromHex('302e020100300506032b656e04220420'), skE]),
    format: 'der',
    type: 'pkcs8',
  })
  const publicKey = createPublicKey({
    key: Buffer.concat([fromHex('302a300506032b656e032100'), pkR]),
    format: 'der',
    type: 'spki',
  })
  const kem = Buffer.concat([text('KEM'), fromHex('0020')])
  const eaePrk = extract(kem, none, 'eae_prk', diffieHellman({ privateKey, publicKey }))
  const sharedSecret = expand(kem, eaePrk, 'shared_secret', Buffer.concat([pkE, pkR]), 32)

  const hpke = Buffer.concat([text('HPKE'), fromHex('002000010002')])
  const context = Buffer.concat([
    Uint8Array.of(0),
    extract(hpke, none, 'psk_id_hash', none),
    extract(hpke, none, 'info_hash', info),
  ])
  const secret = extract(hpke, sharedSecret, 'secret', none)
  const cipher = createCipheriv(
    'aes-256-gcm',
    expand(hpke, secret, 'key', context, 32),
    expand(hpke, secret, 'base_nonce', context, 12),
  )
  cipher.setAAD(aad)
  return Buffer.concat([cipher.update(pt), cipher.final(), cipher.getAuthTag()])
}

test('property: agrees with RFC 9180 written out by hand', async () => {
  const exactly = (length: number) => fc.uint8Array({ minLength: length, maxLength: length })
  const any = fc.uint8Array({ maxLength: 60 })
  await fc.assert(
    fc.asyncProperty(exactly(32), exactly(32), any, any, any, async (seedR, seedE, info, aad, plaintext) => {
      const recipient = await generateKeyPair(() => seedR)
      const ephemeral = await generateKeyPair(() => seedE)
      const message = await sealTo(recipient.publicKey, { info, aad }, plaintext, () => seedE)
      assert.equal(hex(message.encapsulated), hex(ephemeral.publicKey))
      const byHand = sealByHand(ephemeral.privateKey, ephemeral.publicKey, recipient.publicKey, info, aad, plaintext)
      assert.equal(hex(message.sealed), hex(byHand))
      assert.deepEqual(await openFrom(recipient.privateKey, { info, aad }, message), plaintext)
    }),
    { numRuns: 30 },
  )
})

test('property: one flipped bit of what was sealed or of its context does not open', async () => {
  const pair = await generateKeyPair(systemRandomBytes)
  const info = Buffer.from('info')
  const aad = Buffer.from('aad')
  const message = await sealTo(pair.publicKey, { info, aad }, new Uint8Array(32), systemRandomBytes)
  await fc.assert(
    fc.asyncProperty(fc.constantFrom('info', 'aad', 'encapsulated', 'sealed'), fc.nat(), async (member, at) => {
      const parts = { info, aad, ...message }
      const altered = Uint8Array.from(parts[member])
      // The topmost bit of an X25519 key carries nothing, and RFC 7748 has it ignored in the multiplication; the KEM
      // hashes the key as it was sent, so that bit is bound all the same.
      const bit = at % (altered.length * 8)
      altered[bit >> 3] = (altered[bit >> 3] ?? 0) ^ (1 << (bit & 7))
      const changed = { ...parts, [member]: altered }
      await assert.rejects(openFrom(pair.privateKey, changed, changed), { code: 'E_SEAL_BROKEN' })
    }),
    { numRuns: 100 },
  )
})

test('another private key, and encapsulated keys that are no keys, do not open', async () => {
  const pair = await generateKeyPair(systemRandomBytes)
  const other = await generateKeyPair(systemRandomBytes)
  const context = { info: new Uint8Array(0), aad: new Uint8Array(0) }
  const message = await sealTo(pair.publicKey, context, new Uint8Array(32), systemRandomBytes)
  const broken = { code: 'E_SEAL_BROKEN' }
  await assert.rejects(openFrom(other.privateKey, context, message), broken)
  for (const encapsulated of [new Uint8Array(0), new Uint8Array(31), new Uint8Array(33), new Uint8Array(32)]) {
    await assert.rejects(openFrom(pair.privateKey, context, { ...message, encapsulated }), broken)
  }
  for (const sealed of [new Uint8Array(0), message.sealed.subarray(0, 15)]) {
    await assert.rejects(openFrom(pair.privateKey, context, { ...message, sealed }), broken)
  }
})

test('nothing is sealed to a public key of small order', async () => {
  const context = { info: new Uint8Array(0), aad: new Uint8Array(0) }
  for (const first of [0, 1]) {
    const publicKey = new Uint8Array(32)
    publicKey[0] = first
    await assert.rejects(sealTo(publicKey, context, new Uint8Array(32), systemRandomBytes), {
      code: 'E_FORMAT_DAMAGED',
    })
  }
})

test('every seal has an ephemeral key of its own', async () => {
  const pair = await generateKeyPair(systemRandomBytes)
  const context = { info: new Uint8Array(0), aad: new Uint8Array(0) }
  const a = await sealTo(pair.publicKey, context, new Uint8Array(32), systemRandomBytes)
  const b = await sealTo(pair.publicKey, context, new Uint8Array(32), systemRandomBytes)
  assert.notDeepEqual(a.encapsulated, b.encapsulated)
  assert.notDeepEqual(a.sealed, b.sealed)
})
