import type { BlobClient, ContainerClient } from '@azure/storage-blob'
import { StrataError } from '../errors.ts'
import { azureFailureOf, isBlobMissing } from './azure-errors.ts'
import { askedOnce } from './asked-once.ts'
import { missingError, noLockError } from './object-errors.ts'
import type { Lockability, ObjectLock } from './object-store.ts'
import type { StoreRequester } from './store-requests.ts'

export interface AzureLocksPlace {
  readonly container: ContainerClient
  readonly description: string
  readonly request: StoreRequester
}

/** `Unlocked` policies can be shortened and removed by who has a permission of its own for it, `Locked` ones by nobody. */
const modes = { governance: 'Unlocked', compliance: 'Locked' } as const

/** As a put says it. */
export function azureLockOptions(lock: ObjectLock | undefined) {
  if (lock === undefined) return {}
  return { immutabilityPolicy: { expiriesOn: new Date(lock.untilMs), policyMode: modes[lock.mode] } }
}

/** The locks of a container with version-level immutability. They are on versions. */
export class AzureLocks {
  readonly #place: AzureLocksPlace
  readonly lockability = askedOnce<Lockability>(() => this.#ask())

  constructor(place: AzureLocksPlace) {
    this.#place = place
  }

  async #ask(): Promise<Lockability> {
    const { container, request } = this.#place
    return await request('lock', '', 'asking whether the container locks', undefined, async (abortSignal) => {
      try {
        const { isImmutableStorageWithVersioningEnabled: locks } = await container.getProperties({ abortSignal })
        if (locks === true) return { canLock: true }
        return { canLock: false, why: 'the container has no version-level immutability' }
      } catch (error) {
        if (!isNotPermitted(error)) throw error
        return { canLock: false, why: "to know it takes the right to read the container's properties" }
      }
    })
  }

  /** @param blob the version that counts */
  async set(name: string, blob: BlobClient, lock: ObjectLock): Promise<void> {
    await this.#request(`locking ${name}`, name, async (abortSignal) => {
      const policy = { expiriesOn: new Date(lock.untilMs), policyMode: modes[lock.mode] }
      await blob.setImmutabilityPolicy(policy, { abortSignal })
    })
  }

  async get(name: string, blob: BlobClient): Promise<ObjectLock | undefined> {
    return await this.#request(`reading the lock of ${name}`, name, async (abortSignal) => {
      const { immutabilityPolicyExpiresOn: until, immutabilityPolicyMode: mode } = await blob.getProperties({
        abortSignal,
      })
      if (until === undefined) return undefined
      return { mode: mode?.toLowerCase() === 'locked' ? 'compliance' : 'governance', untilMs: until.getTime() }
    })
  }

  async hold(name: string, blob: BlobClient, on: boolean): Promise<void> {
    await this.#request(`holding ${name}`, name, async (abortSignal) => {
      await blob.setLegalHold(on, { abortSignal })
    })
  }

  async #request<Result>(doing: string, name: string, send: (signal: AbortSignal) => Promise<Result>): Promise<Result> {
    const { description, request } = this.#place
    const asked = await this.lockability()
    if (!asked.canLock) throw noLockError(description, asked.why)
    return await request('lock', name, doing, undefined, async (signal) => {
      try {
        return await send(signal)
      } catch (error) {
        if (isBlobMissing(error)) throw missingError(description, name)
        if (!isNotPermitted(error)) throw error
        const message = `${doing} in ${description} was refused: it takes the right to set immutability policies (SAS: i)`
        throw new StrataError('E_STORE_DENIED', message, { cause: error })
      }
    })
  }
}

/** Who asks is known, and may not do this. */
function isNotPermitted(error: unknown): boolean {
  const { code } = azureFailureOf(error)
  return code?.startsWith('Authorization') === true
}
