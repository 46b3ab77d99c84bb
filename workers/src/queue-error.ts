import { UnrecoverableError } from 'bullmq'
import { errorFromDocument, StrataError, toStrataError } from '@strata/shared/errors.ts'

/**
 * Errors that cross the queue. BullMQ keeps only an error's message, so the message is the error's document; whether
 * the queue tries again follows from the error's kind.
 */
export function toJobError(error: unknown): Error {
  const known = toStrataError(error)
  const message = JSON.stringify(known)
  return known.kind === 'transient' ? new Error(message) : new UnrecoverableError(message)
}

export function fromJobError(error: unknown): StrataError {
  if (error instanceof StrataError) return error
  const message = error instanceof Error ? error.message : String(error)
  try {
    return errorFromDocument(JSON.parse(message))
  } catch {
    // Not one of ours: the queue's own words.
    if (message.includes('stalled more than allowable limit')) {
      const what = 'a job was begun more than once, and each time its worker fell silent before it was done'
      return new StrataError('E_WORKER_DIED', what, { cause: error })
    }
    return new StrataError('E_BUG', `a job failed: ${message}`, { cause: error })
  }
}
