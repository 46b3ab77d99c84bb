import { quoteThaw, type ThawQuote } from '@strata/shared/cost/thaw-quote.ts'
import { StrataError } from '@strata/shared/errors.ts'
import { storeRequestsInFlightMax } from '@strata/shared/limits.ts'
import { mapConcurrently } from '@strata/shared/repository/concurrency.ts'
import type { Point } from '@strata/shared/repository/points.ts'
import type { Repository } from '@strata/shared/repository/repository.ts'
import type { FrozenObject, ThawSpeed } from '@strata/shared/store/archive/archive-access.ts'
import { openArchiveAccess } from '@strata/shared/store/archive/open-archive.ts'
import { frozenOf } from '../deliver/restore/frozen.ts'
import type { Context } from './context.ts'
import { formatBytes, formatCount } from './output/bytes.ts'
import { requireStoreUrl } from './settings.ts'

const hourMs = 3600_000

/**
 * Ends the command unless all that the point needs can be read. With `speed` it is asked for first. Errors:
 * E_OBJECT_ARCHIVED with what thawing would take, E_THAWING with when to come back.
 */
export async function requireThawed(
  context: Context,
  repository: Repository,
  point: Point,
  speed: ThawSpeed | undefined,
): Promise<void> {
  const archive = await openArchiveAccess(requireStoreUrl(context.settings), context.env)
  if (archive === undefined) return
  try {
    const frozen = await frozenOf(repository, point, archive, context.signal)
    if (frozen.length === 0) return
    const asked = frozen.filter(({ isThawing }) => !isThawing)
    // How fast others have asked for is not known: it may be the slowest.
    const quote = quoteThaw(frozen, speed ?? (asked.length === 0 ? 'bulk' : 'standard'))
    if (speed === undefined && asked.length > 0) throw archivedError(quote)
    if (quote.usd === undefined) {
      throw new StrataError(
        'E_USAGE',
        `some of the ${objectsText(quote)} cannot be thawed so fast: --thaw, or --thaw bulk`,
      )
    }
    const thaw = (object: FrozenObject): Promise<void> => archive.thaw(object, speed ?? 'standard')
    await Array.fromAsync(mapConcurrently(asked, storeRequestsInFlightMax, thaw))
    throw thawingError(quote, context.clock.nowMs())
  } finally {
    await archive.close()
  }
}

function archivedError(quote: ThawQuote): StrataError {
  const { hoursMax, usd = 0, pricesAsOf } = quote
  return new StrataError(
    'E_OBJECT_ARCHIVED',
    `${objectsText(quote)} lie in an archive class; thawing them takes up to ${String(hoursMax)} hours and costs about $${usd.toFixed(2)} (list prices of ${pricesAsOf})`,
    {
      hint: 'Run it again with --thaw to ask for them, or with --thaw bulk or --thaw expedited.',
      details: { ...detailsOf(quote), usd, hoursMax },
    },
  )
}

function thawingError(quote: ThawQuote, nowMs: number): StrataError {
  const readyAt = new Date(nowMs + quote.hoursMax * hourMs).toISOString()
  return new StrataError('E_THAWING', `${objectsText(quote)} are being thawed, until ${readyAt} at the latest`, {
    details: { ...detailsOf(quote), readyAt },
  })
}

function objectsText({ objects, bytes }: ThawQuote): string {
  return `${formatCount(objects, 'object')} of ${formatBytes(bytes)} that the point needs`
}

function detailsOf({ objects, bytes, thawing }: ThawQuote): Record<string, number> {
  return { objects, bytes, thawing }
}
