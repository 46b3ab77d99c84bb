import { createHash, timingSafeEqual } from 'node:crypto'
import { inspect } from 'node:util'
import { invariant, StrataError } from '../errors.ts'
import { asId, type EnrolmentTokenId, type TenantId } from '../types.ts'

/**
 * An enrolment token as people carry it from the service to a machine: one line, with all that a machine has to know.
 *
 *     strata-enrol-<tenant>-<token>-<secret>
 *
 * docs/format.md, "Registry documents". A class, so that no printed or serialised object shows the secret by accident.
 */
export const enrolmentSecretBytes = 32
const pattern = /^strata-enrol-([0-9a-f]{32})-([0-9a-f]{32})-([A-Za-z0-9_-]{43})$/

export class EnrolmentToken {
  readonly tenant: TenantId
  readonly id: EnrolmentTokenId
  readonly #secret: Buffer

  constructor(tenant: TenantId, id: EnrolmentTokenId, secret: Uint8Array) {
    invariant(secret.length === enrolmentSecretBytes, `a secret has ${String(enrolmentSecretBytes)} bytes`)
    this.tenant = tenant
    this.id = id
    this.#secret = Buffer.from(secret)
  }

  /** Reads the line, exactly as it was shown: else E_ENROLMENT_TOKEN, which does not repeat it. */
  static parse(text: string): EnrolmentToken {
    const [, tenant, id, secret] = pattern.exec(text) ?? []
    if (tenant !== undefined && id !== undefined && secret !== undefined) {
      const token = new EnrolmentToken(
        asId<TenantId>(tenant),
        asId<EnrolmentTokenId>(id),
        Buffer.from(secret, 'base64url'),
      )
      // The last character has two bits that say nothing: a token has one spelling.
      if (token.text() === text) return token
    }
    throw new StrataError('E_ENROLMENT_TOKEN', 'this is no enrolment token, or not all of it')
  }

  /** The line itself. For the one who makes the token, and nobody else: not for logs, errors or files. */
  text(): string {
    return `strata-enrol-${this.tenant}-${this.id}-${this.#secret.toString('base64url')}`
  }

  secretHash(): string {
    return this.#hash().toString('hex')
  }

  /** Takes as long whether the hash is nearly right or not at all. */
  fits(secretHash: string): boolean {
    const expected = Buffer.from(secretHash, 'hex')
    const hash = this.#hash()
    return expected.length === hash.length && timingSafeEqual(expected, hash)
  }

  toJSON(): object {
    return { tenant: this.tenant, id: this.id }
  }

  [inspect.custom](): string {
    return `EnrolmentToken(${this.id} of tenant ${this.tenant})`
  }

  #hash(): Buffer {
    return createHash('sha256').update(this.#secret).digest()
  }
}
