import { chainPrefix, type ChainPlace } from '@strata/shared/format/names.ts'
import type { WrappedDataKey } from '@strata/shared/format/wrapped-key.ts'
import type { WantedRange } from '@strata/shared/repository/range-plan.ts'
import { objectInChain, readRepairsIfWhole, type Repairs } from '@strata/shared/repository/repairs.ts'
import type { Repository } from '@strata/shared/repository/repository.ts'

/** Records that stand for damaged ones of a chain. Asked for when the first one is damaged, and not before. */
export class RecordRepairs {
  readonly #repository: Repository
  readonly #place: ChainPlace
  #repairs: Promise<Repairs> | undefined

  constructor(repository: Repository, place: ChainPlace) {
    this.#repository = repository
    this.#place = place
  }

  async find({ object, offset }: Pick<WantedRange, 'object' | 'offset'>): Promise<WantedRange | undefined> {
    const to = (await this.#read()).find({ object: objectInChain(this.#place, object), offset })
    return to === undefined ? undefined : { ...to, object: chainPrefix(this.#place) + to.object }
  }

  /** Those that the records may be sealed under, besides the point's own. */
  async keys(): Promise<readonly WrappedDataKey[]> {
    return (await this.#read()).keys
  }

  #read(): Promise<Repairs> {
    this.#repairs ??= readRepairsIfWhole(this.#repository, this.#place.chain)
    return this.#repairs
  }
}
