import { createPrivateKey, createPublicKey, type KeyObject } from 'node:crypto'
import { invariant } from '../errors.ts'

/**
 * An endpoint's key pair: Ed25519 (RFC 8032). The private half is 32 random bytes and never leaves its machine; a
 * KeyObject shows nothing of it when it is printed.
 */
export const endpointSeedBytes = 32
const publicKeyBytes = 32

/** What stands before the seed in PKCS #8 (RFC 8410). */
const pkcs8Head = Buffer.from('302e020100300506032b657004220420', 'hex')
/** What stands before the public key in SPKI. */
const spkiHead = Buffer.from('302a300506032b6570032100', 'hex')

export function endpointKeyFrom(seed: Uint8Array): KeyObject {
  invariant(seed.length === endpointSeedBytes, `an endpoint's key has ${String(endpointSeedBytes)} bytes`)
  return createPrivateKey({ key: Buffer.concat([pkcs8Head, seed]), format: 'der', type: 'pkcs8' })
}

/** The public half of a private key, 64 hex digits, as an endpoint's document has it. */
export function publicKeyOf(privateKey: KeyObject): string {
  const der = createPublicKey(privateKey).export({ format: 'der', type: 'spki' })
  return der.subarray(spkiHead.length).toString('hex')
}

export function publicKeyFrom(hex: string): KeyObject {
  const bytes = Buffer.from(hex, 'hex')
  invariant(bytes.length === publicKeyBytes, `a public key has ${String(publicKeyBytes)} bytes`)
  return createPublicKey({ key: Buffer.concat([spkiHead, bytes]), format: 'der', type: 'spki' })
}
