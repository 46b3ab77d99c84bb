import { RecentlyUsed } from '@strata/shared/format/recently-used.ts'
import { createDataKey, type NewDataKey } from '@strata/shared/keys/data-keys.ts'
import { dataKeysKeptMax } from '@strata/shared/limits.ts'
import type { Repository } from '@strata/shared/repository/repository.ts'
import type { SessionId } from '@strata/shared/types.ts'

/**
 * The data keys that this process seals with: for each session one of its own, made when the first segment of the
 * session comes. They are nowhere but in memory, so a process that starts again makes others; what reads the records
 * later finds each key in its packs, sealed to the tenant. docs/decisions/0016-the-service.md.
 */
export class SessionKeys {
  readonly #keys: RecentlyUsed<string, Promise<NewDataKey>>

  constructor(keysKeptMax = dataKeysKeptMax) {
    this.#keys = new RecentlyUsed(keysKeptMax)
  }

  /** Segments of a session that come at the same time share one key. */
  keyOf(repository: Repository, session: SessionId): Promise<NewDataKey> {
    const { tenant, ingestKeys } = repository
    const name = `${tenant}/${session}`
    return this.#keys.get(name, () => {
      const made = createDataKey(ingestKeys.publicKey, tenant, (count) => repository.random(count))
      made.catch(() => {
        this.#keys.delete(name)
      })
      return made
    })
  }
}
