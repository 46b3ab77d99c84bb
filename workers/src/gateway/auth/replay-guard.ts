import type { Redis } from 'ioredis'
import { StrataError } from '@strata/shared/errors.ts'
import type { VerifiedRequest } from '@strata/shared/protocol/request-token.ts'
import type { QueuePlace } from '../../queue-place.ts'
import { connect, hasty, redisError } from '../../redis-connection.ts'

/**
 * Takes each request once, whichever gateway it comes to: the ids of tokens are in Redis for as long as the tokens live.
 * A Redis that lost them (it keeps them in memory) may let a request through a second time within its few minutes, as if
 * the agent itself had repeated it because an answer was lost.
 */
export class ReplayGuard {
  readonly #place: QueuePlace
  readonly #client: Redis

  /** @param place the same for all gateways of a service */
  constructor(place: QueuePlace) {
    this.#place = place
    this.#client = connect(place.address, hasty)
  }

  /** Seen before: E_TOKEN_REPLAYED. Without an answer of Redis nothing is taken: E_REDIS_UNREACHABLE, E_REDIS_REFUSES. */
  async admit({ endpoint, tokenId, rememberMs }: VerifiedRequest): Promise<void> {
    if (await this.#isFirst(`${this.#place.prefix}:seen:${endpoint}:${tokenId}`, rememberMs)) return
    throw new StrataError('E_TOKEN_REPLAYED', 'this request was made before')
  }

  close(): void {
    this.#client.disconnect()
  }

  async #isFirst(key: string, rememberMs: number): Promise<boolean> {
    try {
      return (await this.#client.set(key, '', 'PX', rememberMs, 'NX')) !== null
    } catch (error) {
      throw redisError(this.#place.address, error)
    }
  }
}
