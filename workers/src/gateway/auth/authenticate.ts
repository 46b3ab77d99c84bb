import { generateKeyPairSync, type KeyObject } from 'node:crypto'
import type { Clock } from '@strata/shared/clock.ts'
import { hasCode, StrataError } from '@strata/shared/errors.ts'
import type { Endpoint } from '@strata/shared/format/endpoint.ts'
import { endpointRecheckMs } from '@strata/shared/limits.ts'
import { publicKeyFrom } from '@strata/shared/protocol/endpoint-key.ts'
import {
  invalid,
  verifyRequest,
  type RequestExpectation,
  type VerifiedRequest,
} from '@strata/shared/protocol/request-token.ts'
import type { EndpointDirectory } from './endpoint-directory.ts'
import type { ReplayGuard } from './replay-guard.ts'

export interface AuthenticatorOptions {
  readonly directory: EndpointDirectory
  readonly replayGuard: Pick<ReplayGuard, 'admit'>
  readonly clock: Clock
}

export interface AuthenticRequest extends VerifiedRequest {
  readonly document: Endpoint
}

/** Whose request this is, and that it comes for the first time. One for each tenant that is served. */
export class Authenticator {
  readonly #options: AuthenticatorOptions
  /** Nobody's: requests of endpoints that are not there take as long as those with a wrong signature. */
  readonly #nobody: KeyObject = generateKeyPairSync('ed25519').publicKey

  constructor(options: AuthenticatorOptions) {
    this.#options = options
  }

  /**
   * E_TOKEN_INVALID: altered, for something else, of an endpoint that is not there or has another key; nobody learns
   * which. To the owner of the key: E_TOKEN_EXPIRED, E_CLOCK_SKEW, E_TOKEN_REPLAYED, E_ENDPOINT_REVOKED.
   */
  async authenticate(token: string, expectation: RequestExpectation): Promise<AuthenticRequest> {
    const { verified, document } = await this.#verified(token, expectation)
    if (document === undefined || document.state === 'enrolling') throw invalid()
    await this.#options.replayGuard.admit(verified)
    if (document.state === 'revoked') {
      throw new StrataError('E_ENDPOINT_REVOKED', `endpoint ${document.endpoint} ('${document.name}') was revoked`)
    }
    return { ...verified, document }
  }

  async #verified(token: string, expectation: RequestExpectation): Promise<Verified> {
    const { directory } = this.#options
    const known = (await directory.get(expectation.endpoint))?.document
    try {
      return await this.#verify(token, expectation, known)
    } catch (error) {
      if (!hasCode(error, 'E_TOKEN_INVALID')) throw error
      // It may have enrolled again a moment ago, by way of another gateway.
      const newest = (await directory.get(expectation.endpoint, endpointRecheckMs))?.document
      if (newest?.publicKey === known?.publicKey) throw error
      return await this.#verify(token, expectation, newest)
    }
  }

  async #verify(token: string, expectation: RequestExpectation, document: Endpoint | undefined): Promise<Verified> {
    const key = document === undefined ? this.#nobody : publicKeyFrom(document.publicKey)
    return { verified: await verifyRequest(token, expectation, key, this.#options.clock.nowMs()), document }
  }
}

interface Verified {
  readonly verified: VerifiedRequest
  readonly document: Endpoint | undefined
}
