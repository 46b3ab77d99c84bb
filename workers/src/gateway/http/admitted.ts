import { StrataError } from '@strata/shared/errors.ts'
import type { Admission, Upload } from '../admission.ts'

const reasons = {
  bytes: 'enough bytes are on their way',
  segments: 'enough segments wait for workers',
  staged: 'the staging area holds enough',
  session: 'the session has enough segments on their way',
  line: 'others have waited for longer',
}

/** Resolves when the segment may be sent now. E_SERVICE_BUSY says when to ask again. */
export async function requireAdmitted(admission: Admission, upload: Upload): Promise<void> {
  const answer = await admission.admit(upload)
  if (answer.admitted) return
  const { reason, retryAfterMs } = answer
  throw new StrataError('E_SERVICE_BUSY', `segment ${String(upload.segment)} must wait: ${reasons[reason]}`, {
    details: { retryAfterMs },
  })
}
