import { hasCode, StrataError, toStrataError } from '@strata/shared/errors.ts'
import type { OpenedSession } from '@strata/shared/protocol/uplink.ts'
import type { PassResult } from './passes.ts'
import type { SetState } from './track/base-digests.ts'

/** The map is not what the agent read: where blocks were left out because a digest file said so, it may be the file. */
export function isOfDigestFiles(error: unknown, result: PassResult): error is StrataError {
  return hasCode(error, 'E_CONTENT_ROOT') && result.disks.some(({ digestsFrom }) => digestsFrom === 'file')
}

/** Else the next backup would believe the same files, and end in the same way. */
export function forgetDigests(error: StrataError, state: SetState): StrataError {
  state.forgetDigests()
  return new StrataError(
    error.code,
    `${error.message}; the local digests of the set were removed, since they may be wrong`,
    {
      cause: error,
      hint: 'Run the backup again: it reads the digests from the map. If it ends like this once more, please report it.',
      ...(error.details === undefined ? {} : { details: error.details }),
    },
  )
}

/**
 * Whether the next run may go on with the session: unless it can never become a point. What was acknowledged is not sent
 * again then.
 */
export function isWorthKeeping(error: unknown): boolean {
  return !hasCode(error, 'E_CONTENT_ROOT', 'E_SEGMENTS_MISSING', 'E_SESSION_UNKNOWN', 'E_LIMIT', 'E_BUG')
}

/** Abandons the session and gives the error to throw: the one that ended the run, whatever else fails now. */
export async function giveUp(error: unknown, session: OpenedSession): Promise<StrataError> {
  const ended = toStrataError(error)
  try {
    await session.abandon()
    return ended
  } catch (abandoning) {
    const message = `${ended.message}; abandoning the session failed too: ${toStrataError(abandoning).message}`
    return new StrataError(ended.code, message, {
      cause: ended,
      hint: ended.hint,
      ...(ended.details === undefined ? {} : { details: ended.details }),
    })
  }
}
