import type { webcrypto } from 'node:crypto'
import type { RandomBytes } from '../clock.ts'
import { invariant, StrataError } from '../errors.ts'

/**
 * HPKE (RFC 9180), base mode, one message per encapsulation, with the suite DHKEM(X25519, HKDF-SHA256) 0x0020,
 * HKDF-SHA256 0x0001, AES-256-GCM 0x0002. Keys are the RFC's 32 serialised bytes.
 *
 * Base mode says who can read, not who wrote: anybody with the public key can seal. What a sealed thing is trusted
 * for has to be authenticated elsewhere.
 */
const publicKeyBytes = 32
export const privateKeyBytes = 32

interface KeyPair {
  readonly publicKey: Uint8Array
  readonly privateKey: Uint8Array
}

interface HpkeSealed {
  /** The ephemeral public key; `enc` in the RFC. */
  readonly encapsulated: Uint8Array
  readonly sealed: Uint8Array
}

/** What a message is bound to: both sides need the same bytes. */
export interface HpkeContext {
  readonly info: Uint8Array
  readonly aad: Uint8Array
}

/** RFC 9180, section 7.1.3: DeriveKeyPair of 32 random bytes. */
export async function generateKeyPair(random: RandomBytes): Promise<KeyPair> {
  const { kem } = await loadSuite()
  const pair = await kem.deriveKeyPair(exactBuffer(randomSeed(random)))
  return {
    publicKey: new Uint8Array(await kem.serializePublicKey(pair.publicKey)),
    privateKey: new Uint8Array(await kem.serializePrivateKey(pair.privateKey)),
  }
}

/** Seals to `publicKey`. A public key that X25519 cannot use (a point of small order): E_FORMAT_DAMAGED. */
export async function sealTo(
  publicKey: Uint8Array,
  context: HpkeContext,
  plaintext: Uint8Array,
  random: RandomBytes,
): Promise<HpkeSealed> {
  invariant(publicKey.length === publicKeyBytes, `a public key has ${String(publicKeyBytes)} bytes`)
  const suite = await loadSuite()
  // The library keeps `ekm` for tests, because a seed used twice gives the same key twice. Here it is how chance is
  // passed in: the ephemeral key is derived from 32 fresh random bytes, as section 7.1.3 of the RFC has it.
  const ephemeralSeed = exactBuffer(randomSeed(random))
  try {
    const recipientPublicKey = await suite.kem.deserializePublicKey(exactBuffer(publicKey))
    const info = exactBuffer(context.info)
    const sender = await suite.createSenderContext({ recipientPublicKey, info, ekm: ephemeralSeed })
    const sealed = await sender.seal(exactBuffer(plaintext), exactBuffer(context.aad))
    return { encapsulated: new Uint8Array(sender.enc), sealed: new Uint8Array(sealed) }
  } catch (error) {
    throw new StrataError('E_FORMAT_DAMAGED', 'nothing can be sealed to this public key', { cause: error })
  }
}

/**
 * Opens with the private key, or says E_SEAL_BROKEN: another key, another context or altered bytes. HPKE cannot tell
 * these apart; callers that know whose key it should be check that first.
 */
export async function openFrom(
  privateKey: Uint8Array,
  context: HpkeContext,
  message: HpkeSealed,
): Promise<Uint8Array<ArrayBuffer>> {
  invariant(privateKey.length === privateKeyBytes, `a private key has ${String(privateKeyBytes)} bytes`)
  const suite = await loadSuite()
  const recipientKey = await suite.kem.deserializePrivateKey(exactBuffer(privateKey))
  try {
    const opened = await suite.open(
      { recipientKey, enc: exactBuffer(message.encapsulated), info: exactBuffer(context.info) },
      exactBuffer(message.sealed),
      exactBuffer(context.aad),
    )
    return new Uint8Array(opened)
  } catch (error) {
    throw new StrataError('E_SEAL_BROKEN', 'a sealed key does not open with this private key', { cause: error })
  }
}

/**
 * What we use of `CipherSuite`. The library's own types name globals of the browser that Node's types do not have, so
 * its keys would be of any type.
 */
interface Suite {
  readonly kem: {
    deriveKeyPair(seed: ArrayBuffer): Promise<webcrypto.CryptoKeyPair>
    serializePublicKey(key: webcrypto.CryptoKey): Promise<ArrayBuffer>
    serializePrivateKey(key: webcrypto.CryptoKey): Promise<ArrayBuffer>
    deserializePublicKey(bytes: ArrayBuffer): Promise<webcrypto.CryptoKey>
    deserializePrivateKey(bytes: ArrayBuffer): Promise<webcrypto.CryptoKey>
  }
  createSenderContext(parameters: {
    recipientPublicKey: webcrypto.CryptoKey
    info: ArrayBuffer
    ekm: ArrayBuffer
  }): Promise<{ readonly enc: ArrayBuffer; seal(plaintext: ArrayBuffer, aad: ArrayBuffer): Promise<ArrayBuffer> }>
  open(
    parameters: { recipientKey: webcrypto.CryptoKey; enc: ArrayBuffer; info: ArrayBuffer },
    sealed: ArrayBuffer,
    aad: ArrayBuffer,
  ): Promise<ArrayBuffer>
}

let suiteLoading: Promise<Suite> | undefined

/** Loaded at the first use: most commands start without it, and it takes tens of milliseconds. */
async function loadSuite(): Promise<Suite> {
  suiteLoading ??= import('@hpke/core').then(
    ({ Aes256Gcm, CipherSuite, DhkemX25519HkdfSha256, HkdfSha256 }) =>
      new CipherSuite({ kem: new DhkemX25519HkdfSha256(), kdf: new HkdfSha256(), aead: new Aes256Gcm() }),
  )
  return suiteLoading
}

const seedBytes = 32

function randomSeed(random: RandomBytes): Uint8Array {
  const seed = random(seedBytes)
  invariant(seed.length === seedBytes, `a seed has ${String(seedBytes)} bytes`)
  return seed
}

/** A copy in a buffer of its own: the library takes whole buffers, and a Buffer's may be shared with others. */
function exactBuffer(bytes: Uint8Array): ArrayBuffer {
  return new Uint8Array(bytes).buffer
}
