import { StrataError, toStrataError } from '@strata/shared/errors.ts'
import { isSameStore } from '@strata/shared/policy/copies.ts'
import { Repository } from '@strata/shared/repository/repository.ts'
import { requireSetName } from '@strata/shared/set-name.ts'
import { createStoreMetrics } from '@strata/shared/store/decorators/metrics.ts'
import { copyTenant, type CopiedSet, type TenantCopyOptions } from '../../maintain/copies/copy-tenant.ts'
import { policyInForce } from '../../maintain/retention/prune-tenant.ts'
import { exitCodes, stopIfInterrupted, type Context, type ExitCode } from '../context.ts'
import { formatBytes, formatCount } from '../output/bytes.ts'
import { copyDocument, copyLines, requireComplete, type MadeCopy } from '../output/copy.ts'
import { requireStoreUrl } from '../settings.ts'
import { withStore } from '../store.ts'
import { openGivenTenant } from '../unlock.ts'
import { noteTenant } from '../usage.ts'

export interface CopyOptions {
  readonly to?: string
  readonly set?: string
  readonly tenant?: string
}

/** One store to copy into. */
interface Destination {
  readonly name: string | undefined
  readonly url: string
  readonly keeping: TenantCopyOptions['keeping']
}

/** `strata copy`: brings points into another store, or into all that the policy names. */
export async function copy(context: Context, options: CopyOptions): Promise<ExitCode> {
  const { clock, reporter } = context
  const startedMs = clock.monotonicMs()
  const setName = options.set === undefined ? undefined : requireSetName(options.set)
  const metrics = createStoreMetrics()
  const copies: MadeCopy[] = []
  const failures: StrataError[] = []
  await withStore(
    context,
    async (store) => {
      const { repository } = await openGivenTenant(context, store, options.tenant)
      for (const destination of await destinationsOf(repository, options.to)) {
        stopIfInterrupted(context.signal)
        try {
          requireOther(context, destination.url)
          copies.push(await copyInto(context, repository, destination, setName))
        } catch (error) {
          stopIfInterrupted(context.signal)
          // Another store may be well.
          failures.push(ofDestination(destination, toStrataError(error)))
        }
      }
    },
    { metrics },
  )
  const durationMs = Math.round(clock.monotonicMs() - startedMs)
  const [failure] = failures
  if (failure !== undefined && copies.length === 0) throw failure
  reporter.result(copyDocument(copies, metrics.totals(), durationMs), copyLines(copies, metrics.totals(), durationMs))
  for (const { code, message } of failures) reporter.warning(`${code}: ${message}`)
  if (failure !== undefined) throw failure
  requireComplete(copies)
  return exitCodes.success
}

function requireOther({ settings }: Context, url: string): void {
  if (!isSameStore(url, requireStoreUrl(settings))) return
  throw new StrataError('E_COPY_SAME_STORE', 'the copy would go into the store itself, or lie in it or around it')
}

async function destinationsOf(repository: Repository, to: string | undefined): Promise<readonly Destination[]> {
  if (to !== undefined) return [{ name: undefined, url: to, keeping: undefined }]
  const { policy, version } = await policyInForce(repository)
  if (policy.copies.length === 0) {
    throw new StrataError('E_USAGE', 'the policy names no copies', {
      hint: 'Say where to with --to URL, or write copies into the policy.',
    })
  }
  return policy.copies.map(({ name, to: url, retention }) => {
    return { name, url, keeping: { policy: { ...policy, retention }, version } }
  })
}

function ofDestination({ name }: Destination, error: StrataError): StrataError {
  if (name === undefined) return error
  const { code, message, hint, details } = error
  return new StrataError(code, `copy '${name}': ${message}`, {
    cause: error,
    hint,
    ...(details === undefined ? {} : { details }),
  })
}

/** A directory is made only where somebody names it now: later it may be a disk that is not there. */
async function copyInto(
  context: Context,
  source: Repository,
  { name, url, keeping }: Destination,
  setName: string | undefined,
): Promise<MadeCopy> {
  const { clock, hostName, signal, reporter } = context
  const metrics = createStoreMetrics()
  const sets: CopiedSet[] = []
  const progress = reporter.progress(name === undefined ? 'copy' : `copy ${name}`)
  let copiedBytes = 0
  try {
    const to = await withStore(
      context,
      async (target) => {
        const copying = copyTenant({
          source,
          target,
          sets: setName === undefined ? undefined : [source.setIdOf(setName)],
          keeping,
          clock,
          hostName,
          signal,
          onWarning: ({ code, message }) => {
            reporter.warning(`${code}: ${message}`)
          },
          onProgress: ({ pointsDone, pointsTotal, copiedBytes: ofSet }) => {
            const detail = `${String(pointsDone)} of ${formatCount(pointsTotal, 'point')} of the set`
            progress.update({ doneBytes: copiedBytes + ofSet, totalBytes: 0, detail })
          },
        })
        for await (const set of copying) {
          noteTenant(new Repository(target, source.ingestKeys, context.random))
          sets.push(set)
          copiedBytes += set.bytes
          reporter.log(`set '${set.setName ?? set.set}': ${formatBytes(set.bytes)} copied`)
        }
        return target.description
      },
      { url, create: keeping === undefined, metrics },
    )
    if (setName !== undefined && sets.every((set) => set.setName === undefined)) {
      throw new StrataError('E_SET_UNKNOWN', `there is no point of a set '${setName}'`)
    }
    return { name: name ?? null, to, sets, requests: metrics.totals() }
  } finally {
    progress.end()
  }
}
