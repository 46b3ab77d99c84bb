import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import type { Clock, RandomBytes } from '@strata/shared/clock.ts'
import { hasCode, StrataError, systemErrorCode } from '@strata/shared/errors.ts'
import { equalBytes } from '@strata/shared/format/bytes.ts'
import type { Warning } from '@strata/shared/format/manifest.ts'
import { readKeyring, type Keyring } from '@strata/shared/keys/keyring.ts'
import { formerKeysOf } from '@strata/shared/keys/tenant-document.ts'
import { openTenantName } from '@strata/shared/keys/tenant-keys.ts'
import { keyringsLookedForIntervalMs } from '@strata/shared/limits.ts'
import { openRepository, type Repository } from '@strata/shared/repository/repository.ts'
import { readTenantKeys } from '@strata/shared/repository/keys-document.ts'
import type { ObjectStore } from '@strata/shared/store/object-store.ts'
import type { TenantId } from '@strata/shared/types.ts'

export interface TenantsOptions {
  readonly store: ObjectStore
  /** A keyring, or a directory of them: one a tenant. */
  readonly keyringPath: string
  readonly clock: Clock
  readonly random: RandomBytes
  /** Told of keyrings from before a rotation of their tenant's keys: they serve, and should be replaced. */
  readonly onWarning?: ((warning: Warning) => void) | undefined
}

/** The tenants that a service serves: those whose keyrings it has. A keyring that is put there later is found. */
export class Tenants {
  readonly #options: TenantsOptions
  readonly #repositories = new Map<TenantId, Repository>()
  #lookedMs = -Infinity
  #looking: Promise<void> | undefined

  /** Errors: those of the keyrings; E_REPOSITORY_MISSING, E_TENANT_UNKNOWN, E_KEY_FOREIGN. */
  static async open(options: TenantsOptions): Promise<Tenants> {
    const tenants = new Tenants(options)
    await tenants.#look()
    if (tenants.#repositories.size === 0) {
      throw new StrataError('E_KEYRING_MISSING', `there is no keyring in ${options.keyringPath}`)
    }
    return tenants
  }

  private constructor(options: TenantsOptions) {
    this.#options = options
  }

  get all(): readonly Repository[] {
    return [...this.#repositories.values()]
  }

  /** E_TENANT_UNKNOWN. Whoever asks for tenants that are not there makes it look only now and then. */
  async repositoryOf(tenant: TenantId): Promise<Repository> {
    const known = this.#repositories.get(tenant)
    if (known !== undefined) return known
    if (this.#options.clock.monotonicMs() - this.#lookedMs > keyringsLookedForIntervalMs) {
      this.#looking ??= this.#look().finally(() => {
        this.#looking = undefined
      })
      await this.#looking
    }
    const found = this.#repositories.get(tenant)
    if (found === undefined) throw new StrataError('E_TENANT_UNKNOWN', `there is no keyring of tenant ${tenant} here`)
    return found
  }

  async #look(): Promise<void> {
    const { store, random, keyringPath, clock, onWarning } = this.#options
    for (const path of await keyringPaths(keyringPath)) {
      const keyring = await readKeyring(path)
      if (this.#repositories.has(keyring.tenantId)) continue
      const repository = await openRepository(store, keyring, random)
      if (await isBehind(store, keyring)) onWarning?.(behind(path, keyring))
      this.#repositories.set(keyring.tenantId, repository)
    }
    this.#lookedMs = clock.monotonicMs()
  }
}

const keyringSuffix = '.json'

/** One that is not there is for whoever reads it to tell. */
async function keyringPaths(path: string): Promise<string[]> {
  try {
    if (!(await stat(path)).isDirectory()) return [path]
    const names = (await readdir(path)).filter((name) => name.endsWith(keyringSuffix))
    return names.sort().map((name) => join(path, name))
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return [path]
    throw new StrataError('E_CONFIGURATION', `${path} cannot be looked at (${systemErrorCode(error) ?? 'unknown'})`, {
      cause: error,
    })
  }
}

/**
 * A keyring is all that a backup needs, and none of what a restore needs. So before anything is written: the store has
 * the keys document that opens it, and both hold the same keys. (Whether the document is unaltered, only the tenant's
 * secret could tell.)
 *
 * Gives whether the keys were rotated after the keyring was written. What is made with it opens all the same, but to
 * whoever has the former keys too.
 */
async function isBehind(store: ObjectStore, keyring: Keyring): Promise<boolean> {
  const document = await readTenantKeys(store, keyring.tenantId)
  const { tenantId } = keyring
  try {
    // Opens with the index key, which nothing else here would tell from another one.
    openTenantName(document, keyring)
  } catch (error) {
    if (!hasCode(error, 'E_SEAL_BROKEN')) throw error
    throw new StrataError('E_KEYRING_DAMAGED', `the keyring's index key is not the one of tenant ${tenantId}`, {
      cause: error,
    })
  }
  const isKeyring = (publicKey: string): boolean => equalBytes(Buffer.from(publicKey, 'hex'), keyring.publicKey)
  if (isKeyring(document.publicKey)) return false
  if (formerKeysOf(document).some(({ publicKey }) => isKeyring(publicKey))) return true
  throw new StrataError('E_KEY_FOREIGN', `the keyring's public key is not the one of tenant ${tenantId}`)
}

function behind(path: string, { tenantId }: Keyring): Warning {
  const message = `the keyring ${path} is from before a rotation of the keys of tenant ${tenantId}: until it is replaced, whoever has the former keys can read what is stored with it`
  return { code: 'W_KEYRING_BEHIND', message }
}
