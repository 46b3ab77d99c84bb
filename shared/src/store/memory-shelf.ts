import type { History } from '../format/history.ts'
import type { ObjectLock } from './object-store.ts'
import type { ObjectTags } from './object-tags.ts'

/** One version of an object in memory. */
export interface Held {
  readonly bytes: Uint8Array<ArrayBuffer>
  readonly modifiedMs: number
  /** Left out: it has none. */
  readonly tagged?: { readonly tags: ObjectTags; readonly taggedMs: number }
  readonly lock?: ObjectLock | undefined
  readonly legalHold?: boolean
}

/** Everything that was ever put under one name, and which of it counts. Where no versions are kept it is the last one. */
export class Shelf {
  readonly #history: History
  /** The oldest first. */
  #versions: (Held | 'deleted')[] = []

  /** @param history `undefined`: no versions are kept */
  constructor(history: History | undefined) {
    this.#history = history ?? 'replaced'
    this.keepsVersions = history !== undefined
  }

  readonly keepsVersions: boolean

  /** For whoever reads it. */
  get held(): Held | undefined {
    const newest = this.newest
    if (this.#history === 'replaced') return newest
    if (this.#history === 'created' && newest === undefined) return undefined
    return this.#versions.find((version) => version !== 'deleted')
  }

  /** For whoever lists it. */
  get listed(): Held | undefined {
    return this.#history === 'data' && this.newest === undefined ? undefined : this.held
  }

  /** Whether something could be created here. */
  get isFree(): boolean {
    return this.#versions.every((version) => version === 'deleted')
  }

  get newest(): Held | undefined {
    const newest = this.#versions.at(-1)
    return newest === 'deleted' ? undefined : newest
  }

  put(held: Held): void {
    if (this.keepsVersions) this.#versions.push(held)
    else this.#versions = [held]
  }

  /** Changes what is known of the version that counts. */
  change(held: Held, change: Partial<Held>): void {
    this.#versions = this.#versions.map((version) => (version === held ? { ...held, ...change } : version))
  }

  delete(): void {
    if (!this.keepsVersions) this.#versions = []
    else if (this.newest !== undefined) this.#versions.push('deleted')
  }

  /** What is not held by a lock goes: as a bucket's rule does, or somebody who may delete versions. */
  deleteVersions(nowMs: number): void {
    const isHeld = ({ lock, legalHold }: Held): boolean =>
      legalHold === true || (lock !== undefined && lock.untilMs > nowMs)
    this.#versions = this.#versions.filter((version) => version !== 'deleted' && isHeld(version))
  }
}
