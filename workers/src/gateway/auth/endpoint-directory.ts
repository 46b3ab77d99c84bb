import type { Clock } from '@strata/shared/clock.ts'
import type { Endpoint, endpointSchema } from '@strata/shared/format/endpoint.ts'
import { endpointCacheMsMax, endpointMissingMsMax, endpointsCachedMax } from '@strata/shared/limits.ts'
import type { VersionedDocuments, Versioned } from '@strata/shared/repository/registry/versioned.ts'
import type { EndpointId } from '@strata/shared/types.ts'

interface Looked {
  /** undefined: there is no such endpoint. */
  readonly found: Versioned<Endpoint> | undefined
  /** When the store was asked; what it answered may be older than the answer. */
  readonly askedMs: number
}

export interface DirectoryOptions {
  readonly endpoints: Pick<VersionedDocuments<typeof endpointSchema>, 'latest'>
  readonly clock: Clock
  /** Of each kind: endpoints that there are, and ids that there are none of. */
  readonly entriesMax?: number
}

/**
 * Endpoints as requests need them: none is older than `endpointCacheMsMax`, so that a revoked one is noticed in time. An
 * endpoint that is known costs one small request then, whoever asks meanwhile. A store that does not answer is an error:
 * nothing old is given out instead.
 *
 * Strangers may ask for ids that they make up: those are kept apart, and push no endpoint out.
 */
export class EndpointDirectory {
  readonly #options: DirectoryOptions
  readonly #entriesMax: number
  readonly #known = new Map<EndpointId, Looked>()
  readonly #missing = new Map<EndpointId, Looked>()
  readonly #asking = new Map<EndpointId, { readonly askedMs: number; readonly answer: Promise<Looked> }>()

  constructor(options: DirectoryOptions) {
    this.#options = options
    this.#entriesMax = options.entriesMax ?? endpointsCachedMax
  }

  /** The endpoint in its newest version of at most `ageMsMax` ago; undefined when there is none. */
  async get(id: EndpointId, ageMsMax: number = endpointCacheMsMax): Promise<Versioned<Endpoint> | undefined> {
    const nowMs = this.#options.clock.monotonicMs()
    const missing = this.#missing.get(id)
    if (missing !== undefined && nowMs - missing.askedMs <= Math.min(ageMsMax, endpointMissingMsMax)) return undefined
    const known = this.#known.get(id)
    if (known !== undefined && nowMs - known.askedMs <= ageMsMax) return known.found
    const { found } = await this.#ask(id, known, nowMs, ageMsMax)
    return found
  }

  async #ask(id: EndpointId, known: Looked | undefined, nowMs: number, ageMsMax: number): Promise<Looked> {
    const asking = this.#asking.get(id)
    if (asking !== undefined && nowMs - asking.askedMs <= ageMsMax) return await asking.answer
    const mine = { askedMs: nowMs, answer: this.#look(id, known, nowMs) }
    this.#asking.set(id, mine)
    try {
      return await mine.answer
    } finally {
      if (this.#asking.get(id) === mine) this.#asking.delete(id)
    }
  }

  async #look(id: EndpointId, known: Looked | undefined, askedMs: number): Promise<Looked> {
    const looked = { found: await this.#options.endpoints.latest(id, known?.found), askedMs }
    const isThere = looked.found !== undefined
    this.#keep(isThere ? this.#known : this.#missing, id, looked)
    if (isThere) this.#missing.delete(id)
    return looked
  }

  /** The one that was looked up longest ago makes room. */
  #keep(entries: Map<EndpointId, Looked>, id: EndpointId, looked: Looked): void {
    entries.delete(id)
    entries.set(id, looked)
    if (entries.size <= this.#entriesMax) return
    for (const oldest of entries.keys()) {
      entries.delete(oldest)
      return
    }
  }
}
