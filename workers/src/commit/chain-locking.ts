import { hasCode, StrataError } from '@strata/shared/errors.ts'
import type { ChainLock, Warning } from '@strata/shared/format/manifest.ts'
import { packName, type ChainPlace, type PackKind, type PackReference } from '@strata/shared/format/names.ts'
import { storeRequestsInFlightMax } from '@strata/shared/limits.ts'
import { chainLockFrom, isClosed, objectLockOf } from '@strata/shared/policy/chain-lock.ts'
import { readPolicy } from '@strata/shared/policy/policy.ts'
import { mapConcurrently } from '@strata/shared/repository/concurrency.ts'
import { lockDocuments } from '@strata/shared/repository/lock-documents.ts'
import type { PointMap } from '@strata/shared/repository/point-map.ts'
import { latestPolicy } from '@strata/shared/repository/registry/policies.ts'
import { Registry } from '@strata/shared/repository/registry/registry.ts'
import type { Repository } from '@strata/shared/repository/repository.ts'
import type { ObjectLock } from '@strata/shared/store/object-store.ts'

/**
 * What a commit locks: all that its session brings to the chain, before the manifest is put, which has its lock in the put
 * itself. So there is no point of a locked chain that is not locked whole, unless its warnings say so.
 * docs/decisions/0026-immutability.md.
 */

/** How the chain of a point is locked, and what keeps it from being so. */
export interface ChainTerms {
  readonly lock: ChainLock | undefined
  /** The point is the chain's full. */
  readonly begins: boolean
  readonly warnings: readonly Warning[]
}

/** A chain has the terms of the policy that was in force when its full was made. @param base null: this is that full */
export async function termsOf(repository: Repository, base: PointMap | null): Promise<ChainTerms> {
  const nowMs = await repository.store.now()
  if (base === null) return await newTerms(repository, nowMs)
  const { lock } = base.point.manifest
  if (lock !== undefined) requireNotClosed(lock, nowMs)
  return { lock, begins: false, warnings: [] }
}

/** E_CHAIN_CLOSED: a point of now would be protected for less than the others. */
export function requireNotClosed(lock: ChainLock, nowMs: number): void {
  if (!isClosed(lock, nowMs)) return
  throw new StrataError('E_CHAIN_CLOSED', `the chain closed at ${lock.closesAt}, as its lock has it`)
}

async function newTerms(repository: Repository, nowMs: number): Promise<ChainTerms> {
  const stored = await latestPolicy(new Registry(repository))
  if (stored === undefined) return noLock
  const { body } = stored.document
  try {
    const lock = chainLockFrom(readPolicy(body).policy, nowMs)
    if (lock === undefined) return noLock
    const lockability = await repository.store.lockability()
    return lockability.canLock ? { lock, begins: true, warnings: [] } : unlocked(lockability.why)
  } catch (error) {
    if (!hasCode(error, 'E_POLICY_NEWER', 'E_POLICY_INVALID')) throw error
    return 'immutability' in body ? unlocked(error.message) : noLock
  }
}

export interface LockedSession {
  /** For the manifest to say. */
  readonly lock: ChainLock | undefined
  /** For the manifest to be put with; undefined where there is none, or it could not be done. */
  readonly objectLock: ObjectLock | undefined
  readonly warnings: readonly Warning[]
}

/**
 * Locks what a session brings. A point that cannot be locked is better than none, and says so; a chain that begins with
 * one has no lock at all.
 */
export async function lockSession(
  repository: Repository,
  place: ChainPlace,
  { lock, begins, warnings }: ChainTerms,
  packs: Readonly<Record<PackKind, readonly PackReference[]>>,
): Promise<LockedSession> {
  if (lock === undefined) return { lock, objectLock: undefined, warnings }
  const objectLock = objectLockOf(lock)
  const names = (['map', 'data'] as const).flatMap((kind) => packs[kind].map((pack) => packName(place, kind, pack)))
  const problem = await lockObjects(repository, names, objectLock)
  if (problem === undefined) return { lock, objectLock, warnings }
  return { lock: begins ? undefined : lock, objectLock: undefined, warnings: [...warnings, problem] }
}

/** With what it takes to open the tenant. Gives what to tell where the store does not let us. */
export async function lockObjects(
  repository: Repository,
  names: Iterable<string>,
  lock: ObjectLock,
): Promise<Warning | undefined> {
  const { store } = repository
  try {
    await lockDocuments(repository, lock)
    for await (const _ of mapConcurrently(names, storeRequestsInFlightMax, (name) => store.lock(name, lock)));
    return undefined
  } catch (error) {
    if (!hasCode(error, 'E_STORE_DENIED', 'E_STORE_NO_LOCK')) throw error
    return notLocked(error.message)
  }
}

const noLock: ChainTerms = { lock: undefined, begins: true, warnings: [] }

function unlocked(why: string): ChainTerms {
  return { ...noLock, warnings: [notLocked(why)] }
}

export function notLocked(why: string): Warning {
  return { code: 'W_NOT_LOCKED', message: `the policy wants locks, and this point has none: ${why}` }
}
