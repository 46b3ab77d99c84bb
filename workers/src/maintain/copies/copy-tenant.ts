import { StrataError } from '@strata/shared/errors.ts'
import type { Policy } from '@strata/shared/policy/policy.ts'
import { rebuildCatalog } from '@strata/shared/repository/catalog/rebuild-catalog.ts'
import { Repository } from '@strata/shared/repository/repository.ts'
import type { ObjectStore } from '@strata/shared/store/object-store.ts'
import type { SetId } from '@strata/shared/types.ts'
import { pruneSet, type SetPruning } from '../retention/prune-set.ts'
import { setsOf } from '../retention/prune-tenant.ts'
import { copyRegistry } from './copy-registry.ts'
import { copySet, type SetCopied, type SetCopyOptions } from './copy-set.ts'
import { namingRights } from './named-rights.ts'
import { prepareTarget, requireNoOtherSet } from './prepare-target.ts'

export interface TenantCopyOptions extends Pick<
  SetCopyOptions,
  'clock' | 'hostName' | 'onWarning' | 'signal' | 'onProgress'
> {
  readonly source: Repository
  readonly target: ObjectStore
  /** undefined: all of the tenant. */
  readonly sets: readonly SetId[] | undefined
  /** What the copy keeps, and what is let go there after copying; undefined: all that is there, and nothing is let go. */
  readonly keeping: { readonly policy: Policy; readonly version: number } | undefined
}

export interface CopiedSet extends SetCopied {
  /** What became of points in the copy, where it has a retention. */
  readonly pruning: SetPruning | undefined
}

/**
 * Brings a tenant's part of a repository into another store, which is the same repository then: whoever has the key can
 * restore from it, and from nothing else. Nothing is decrypted, and no secret is needed. A run that died is continued by the
 * next one; several at once do no harm.
 */
export async function* copyTenant(options: TenantCopyOptions): AsyncGenerator<CopiedSet> {
  const { keeping, signal, clock } = options
  const random = (count: number): Uint8Array => options.source.random(count)
  const { ingestKeys } = options.source
  const source = new Repository(namingRights(options.source.store, 'the source'), ingestKeys, random)
  const target = new Repository(namingRights(options.target, 'the copy'), ingestKeys, random)
  await prepareTarget(source, target.store)
  await requireNoOtherSet(source, target.store)
  await copyRegistry(source, target.store)
  const retention = keeping?.policy.retention
  for await (const set of options.sets ?? setsOf(source)) {
    if (signal?.aborted === true) throw new StrataError('E_INTERRUPTED', 'interrupted; the next copy goes on')
    const copied = await copySet({ ...options, source, target, set, retention })
    const pruning =
      keeping === undefined
        ? undefined
        : await pruneSet({
            repository: target,
            set,
            policy: keeping.policy,
            policyVersion: keeping.version,
            clock,
            dryRun: false,
            signal,
          })
    yield { ...copied, pruning }
  }
  await rebuildCatalog(target, signal)
}
