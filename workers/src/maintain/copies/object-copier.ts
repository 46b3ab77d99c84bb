import { StrataError } from '@strata/shared/errors.ts'
import { sessionObjectsPrefix, type PackKind } from '@strata/shared/format/names.ts'
import { storeCopyBytesInFlightMax, storeCopyObjectsAtOnceMax } from '@strata/shared/limits.ts'
import { mapConcurrently } from '@strata/shared/repository/concurrency.ts'
import { chainPlaceOf, type Point } from '@strata/shared/repository/points.ts'
import type { Repository } from '@strata/shared/repository/repository.ts'
import type { ObjectStore } from '@strata/shared/store/object-store.ts'
import type { SessionId } from '@strata/shared/types.ts'
import { ByteBudget } from '../../read/byte-budget.ts'
import { isDamage } from '../../read/damage.ts'
import type { SourceDamage } from './copy-damage.ts'
import { bytesInMemory, readChecked, type ChainObject } from './copy-object.ts'

export interface CopiedObjects {
  /** Those that the copy had already. */
  readonly skippedObjects: number
  /** What could not be copied. */
  readonly damage: readonly SourceDamage[]
}

/** Takes over objects of sessions, several at once, in bounded memory. Any number of copies may be at it. */
export class ObjectCopier {
  readonly #source: Repository
  readonly #target: ObjectStore
  readonly #signal: AbortSignal | undefined
  readonly #onCopied: (bytes: number) => void
  readonly #budget = new ByteBudget(storeCopyBytesInFlightMax)

  constructor(
    source: Repository,
    target: ObjectStore,
    options: { readonly signal?: AbortSignal | undefined; readonly onCopied: (bytes: number) => void },
  ) {
    this.#source = source
    this.#target = target
    this.#signal = options.signal
    this.#onCopied = options.onCopied
  }

  /**
   * What of a session's objects is not there in its full size, and with `anew` all of them. Two listings, and a third one
   * that tells whether what was written is there.
   */
  async copy(
    point: Point,
    session: SessionId,
    wanted: ReadonlyMap<string, PackKind>,
    anew: boolean,
  ): Promise<CopiedObjects> {
    const prefix = sessionObjectsPrefix({ ...chainPlaceOf(this.#source, point), session })
    const sizes = await sizesOf(this.#source.store, prefix, wanted)
    const had = anew ? new Map<string, number>() : await sizesOf(this.#target, prefix, wanted)
    const damage: SourceDamage[] = []
    const toCopy: ChainObject[] = []
    for (const [name, kind] of wanted) {
      const sizeBytes = sizes.get(name)
      if (sizeBytes === undefined)
        damage.push({ object: name, code: 'E_OBJECT_MISSING', message: `${name} is not there` })
      else if (had.get(name) !== sizeBytes) toCopy.push({ name, kind, sizeBytes })
    }
    const copied = new Map<string, number>()
    const copying = mapConcurrently(toCopy, storeCopyObjectsAtOnceMax, async (object) => {
      const problem = await this.#budget.run(bytesInMemory(object), () => this.#one(object))
      if (problem === undefined) copied.set(object.name, object.sizeBytes)
      else damage.push(problem)
    })
    for await (const _ of copying) this.#stopIfInterrupted()
    await this.#requireArrived(prefix, copied)
    return { skippedObjects: sizes.size - toCopy.length, damage }
  }

  async #one(object: ChainObject): Promise<SourceDamage | undefined> {
    this.#stopIfInterrupted()
    let bytes: Uint8Array
    try {
      bytes = await readChecked(this.#source, object)
    } catch (error) {
      if (!isDamage(error)) throw error
      return { object: object.name, code: error.code, message: error.message }
    }
    await this.#target.put(object.name, [bytes])
    this.#onCopied(object.sizeBytes)
    return undefined
  }

  async #requireArrived(prefix: string, copied: ReadonlyMap<string, number>): Promise<void> {
    if (copied.size === 0) return
    const arrived = await sizesOf(this.#target, prefix, copied)
    for (const [name, sizeBytes] of copied) {
      const found = arrived.get(name)
      if (found === sizeBytes) continue
      const what = found === undefined ? 'is not there' : `has ${String(found)} bytes`
      throw new StrataError(
        'E_STORE_PROTOCOL',
        `${name} ${what} in ${this.#target.description}, where ${String(sizeBytes)} bytes were written`,
      )
    }
  }

  #stopIfInterrupted(): void {
    if (this.#signal?.aborted === true) throw new StrataError('E_INTERRUPTED', 'interrupted; the next copy goes on')
  }
}

async function sizesOf(
  store: ObjectStore,
  prefix: string,
  wanted: ReadonlyMap<string, unknown>,
): Promise<Map<string, number>> {
  const sizes = new Map<string, number>()
  for await (const { name, sizeBytes } of store.list(prefix)) if (wanted.has(name)) sizes.set(name, sizeBytes)
  return sizes
}
