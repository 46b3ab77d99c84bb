import { createCipheriv, createDecipheriv, createSecretKey, type KeyObject } from 'node:crypto'
import type { RandomBytes } from '../clock.ts'
import { invariant, StrataError } from '../errors.ts'
import { derivedKeysCachedMax, recordsPerSaltMax } from '../limits.ts'
import { viewOf } from './bytes.ts'
import { RecentlyUsed } from './recently-used.ts'

/**
 * XAES-256-GCM as C2SP specifies it (https://c2sp.org/XAES-256-GCM): a 256-bit key and a 192-bit nonce.
 *
 * Plain AES-GCM has 96-bit nonces, too few to draw at random for every record of a large disk, and a repeated nonce
 * gives away the authentication key. Here the first half of the nonce (the salt) derives a key of its own, and the
 * second half is AES-GCM's nonce under it. Random salts do not meet in practice, and within one salt `SaltedNonces`
 * counts, so no nonce is used twice.
 */
export const keyBytes = 32
export const saltBytes = 12
const innerNonceBytes = 12
export const nonceBytes = saltBytes + innerNonceBytes
export const tagBytes = 16

const aesBlockBytes = 16
/** One call of the cipher allocates its output; longer input goes through in pieces of this size. */
const pieceBytes = 256 * 1024

invariant(keyBytes === 2 * aesBlockBytes, 'a derived key is two blocks of CMAC output')

export class SealingKey {
  readonly #key: KeyObject
  /** CMAC's subkey K1; all our messages are whole blocks, so K2 is never needed. */
  readonly #subkey: Uint8Array
  /** By salt: the records of a pack share one, and a reader has some packs in turn. */
  readonly #derived = new RecentlyUsed<string, KeyObject>(derivedKeysCachedMax)

  /** Copies `key` (32 bytes); the caller may wipe it afterwards. */
  constructor(key: Uint8Array) {
    invariant(key.length === keyBytes, `a sealing key has ${String(keyBytes)} bytes, not ${String(key.length)}`)
    this.#key = createSecretKey(key)
    this.#subkey = cmacSubkey(this.#encryptBlocks(new Uint8Array(aesBlockBytes)))
  }

  /** Gives ciphertext and tag: `plaintext.length + tagBytes` bytes. A nonce is used once only. */
  seal(nonce: Uint8Array, aad: Uint8Array, plaintext: Uint8Array): Uint8Array<ArrayBuffer> {
    const sealed = new Uint8Array(plaintext.length + tagBytes)
    this.sealInto(sealed, 0, nonce, aad, plaintext)
    return sealed
  }

  /** `seal` into memory the caller owns, from `targetOffset` on. `plaintext` must not overlap what is written. */
  sealInto(
    target: Uint8Array,
    targetOffset: number,
    nonce: Uint8Array,
    aad: Uint8Array,
    plaintext: Uint8Array,
  ): number {
    const sealedBytes = plaintext.length + tagBytes
    invariant(
      targetOffset >= 0 && targetOffset + sealedBytes <= target.length,
      'the target has room for what is sealed',
    )
    const tag = this.#encrypt(target, targetOffset, nonce, aad, plaintext)
    target.set(tag, targetOffset + plaintext.length)
    return sealedBytes
  }

  /** `bytes` become their ciphertext, where they are; gives the tag, `tagBytes` long. A nonce is used once only. */
  sealInPlace(nonce: Uint8Array, aad: Uint8Array, bytes: Uint8Array): Uint8Array {
    return this.#encrypt(bytes, 0, nonce, aad, bytes)
  }

  /** Gives the plaintext. Anything altered, or sealed with another key, nonce or aad: E_SEAL_BROKEN. */
  open(nonce: Uint8Array, aad: Uint8Array, sealed: Uint8Array): Uint8Array<ArrayBuffer> {
    const plaintext = new Uint8Array(Math.max(0, sealed.length - tagBytes))
    this.openInto(plaintext, nonce, aad, sealed)
    return plaintext
  }

  /**
   * `open` into the front of memory the caller owns. When it throws, the part of `target` that was written holds
   * zeros: nobody sees bytes that were not authenticated.
   */
  openInto(target: Uint8Array, nonce: Uint8Array, aad: Uint8Array, sealed: Uint8Array): number {
    const plainBytes = sealed.length - tagBytes
    if (plainBytes < 0) {
      throw new StrataError('E_SEAL_BROKEN', `${String(sealed.length)} sealed bytes are shorter than the seal itself`)
    }
    invariant(plainBytes <= target.length, 'the target has room for what is opened')
    this.#decrypt(target, nonce, aad, sealed.subarray(0, plainBytes), sealed.subarray(plainBytes))
    return plainBytes
  }

  /** Undoes `sealInPlace`. When it throws (E_SEAL_BROKEN), `bytes` are zeros. */
  openInPlace(nonce: Uint8Array, aad: Uint8Array, bytes: Uint8Array, tag: Uint8Array): void {
    invariant(tag.length === tagBytes, `a tag has ${String(tagBytes)} bytes, not ${String(tag.length)}`)
    this.#decrypt(bytes, nonce, aad, bytes, tag)
  }

  /** Writes the ciphertext to `targetOffset`, which may be where the plaintext is; gives the tag. */
  #encrypt(
    target: Uint8Array,
    targetOffset: number,
    nonce: Uint8Array,
    aad: Uint8Array,
    plaintext: Uint8Array,
  ): Uint8Array {
    const cipher = createCipheriv('aes-256-gcm', this.#derivedKey(nonce), nonce.subarray(saltBytes), {
      authTagLength: tagBytes,
    })
    cipher.setAAD(aad)
    for (let at = 0; at < plaintext.length; at += pieceBytes) {
      moveInto(target, targetOffset + at, cipher.update(plaintext.subarray(at, at + pieceBytes)))
    }
    cipher.final()
    return cipher.getAuthTag()
  }

  /** Writes the plaintext to the front of `target`, where the ciphertext may be; zeros when it does not open. */
  #decrypt(target: Uint8Array, nonce: Uint8Array, aad: Uint8Array, ciphertext: Uint8Array, tag: Uint8Array): void {
    const decipher = createDecipheriv('aes-256-gcm', this.#derivedKey(nonce), nonce.subarray(saltBytes), {
      authTagLength: tagBytes,
    })
    decipher.setAAD(aad)
    decipher.setAuthTag(tag)
    for (let at = 0; at < ciphertext.length; at += pieceBytes) {
      moveInto(target, at, decipher.update(ciphertext.subarray(at, at + pieceBytes)))
    }
    try {
      decipher.final()
    } catch (error) {
      target.fill(0, 0, ciphertext.length)
      const sealedBytes = ciphertext.length + tagBytes
      throw new StrataError('E_SEAL_BROKEN', `${String(sealedBytes)} sealed bytes do not open`, { cause: error })
    }
  }

  /** The AES-GCM key for the nonce's salt. */
  #derivedKey(nonce: Uint8Array): KeyObject {
    invariant(nonce.length === nonceBytes, `a nonce has ${String(nonceBytes)} bytes, not ${String(nonce.length)}`)
    const salt = nonce.subarray(0, saltBytes)
    return this.#derived.get(Buffer.from(salt).toString('latin1'), () => this.#derive(salt))
  }

  /** SP 800-108 counter mode with CMAC: the blocks 00 0i 'X' 00 ‖ salt for i = 1 and 2, each xor K1, encrypted. */
  #derive(salt: Uint8Array): KeyObject {
    const blocks = new Uint8Array(keyBytes)
    for (const counter of [1, 2]) {
      const block = blocks.subarray((counter - 1) * aesBlockBytes, counter * aesBlockBytes)
      block.set([0x00, counter, 0x58, 0x00])
      block.set(salt, aesBlockBytes - saltBytes)
      for (const [i, byte] of this.#subkey.entries()) block[i] = (block[i] ?? 0) ^ byte
    }
    return createSecretKey(this.#encryptBlocks(blocks))
  }

  /** AES-256 of whole independent blocks. */
  #encryptBlocks(blocks: Uint8Array): Buffer {
    const cipher = createCipheriv('aes-256-ecb', this.#key, null)
    cipher.setAutoPadding(false)
    return Buffer.concat([cipher.update(blocks), cipher.final()])
  }
}

/**
 * Copies what a cipher gave and frees its memory at once. Left to garbage collection these buffers pile up by the ten
 * megabytes, and the next ones are never in the processor's cache: twice as slow.
 */
function moveInto(target: Uint8Array, offset: number, piece: Buffer): void {
  target.set(piece, offset)
  const memory = piece.buffer
  if (memory instanceof ArrayBuffer && memory.byteLength === piece.length) memory.transfer(0)
}

/** Doubles `block` in GF(2^128): RFC 4493, section 2.3. */
function cmacSubkey(block: Uint8Array): Uint8Array {
  const subkey = new Uint8Array(aesBlockBytes)
  let carry = 0
  for (let i = aesBlockBytes - 1; i >= 0; i--) {
    const byte = block[i] ?? 0
    subkey[i] = ((byte << 1) | carry) & 0xff
    carry = byte >>> 7
  }
  if (carry === 1) subkey[aesBlockBytes - 1] = (subkey[aesBlockBytes - 1] ?? 0) ^ 0x87
  return subkey
}

/**
 * The nonces of one pack or sealed segment: a random salt, then a counter from 0, 12 bytes big-endian. The object owns
 * its salt, so a nonce comes out once; past `recordsMax` it says E_KEY_EXHAUSTED. Never copy one or carry it to another
 * thread.
 */
export class SaltedNonces {
  readonly #salt: Uint8Array
  readonly #recordsMax: number
  #given = 0

  constructor(random: RandomBytes, recordsMax: number = recordsPerSaltMax) {
    invariant(recordsMax <= recordsPerSaltMax, 'no salt is used more often than is safe')
    this.#salt = random(saltBytes)
    invariant(this.#salt.length === saltBytes, `a salt has ${String(saltBytes)} bytes`)
    this.#recordsMax = recordsMax
  }

  /** For whoever stores it once for all; a copy. */
  get salt(): Uint8Array {
    return this.#salt.slice()
  }

  next(): Uint8Array<ArrayBuffer> {
    if (this.#given >= this.#recordsMax) {
      throw new StrataError('E_KEY_EXHAUSTED', `one salt has sealed ${String(this.#given)} records, as many as it may`)
    }
    const nonce = saltedNonce(this.#salt, this.#given)
    this.#given += 1
    return nonce
  }
}

/** Nonce number `count` of a salt, to open with. Whoever seals asks `SaltedNonces`, which gives none twice. */
export function saltedNonce(salt: Uint8Array, count: number): Uint8Array<ArrayBuffer> {
  const nonce = new Uint8Array(nonceBytes)
  nonce.set(salt)
  viewOf(nonce).setUint32(counterAt, count)
  return nonce
}

/** The counter never needs more than its last four bytes. */
const counterAt = nonceBytes - 4
invariant(recordsPerSaltMax <= 2 ** 32, 'the count of records fits the last four bytes of a nonce')
