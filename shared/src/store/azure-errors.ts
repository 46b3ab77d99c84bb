import { RestError } from '@azure/storage-blob'
import type { HttpFailure } from './http-errors.ts'

/** What the SDK's errors say. */
export function azureFailureOf(error: unknown): HttpFailure {
  if (!(error instanceof RestError)) return { status: undefined, code: undefined, requestId: undefined }
  const status = error.statusCode
  // Without an answer the code is the system's: ECONNREFUSED.
  if (status === undefined) return { status, code: undefined, requestId: undefined }
  const headers = error.response?.headers
  // Of a copy, the answer says what the source was refused for in a header of its own.
  const code = headers?.get('x-ms-copy-source-error-code') ?? headers?.get('x-ms-error-code') ?? error.code
  return { status, code, requestId: headers?.get('x-ms-request-id') }
}

/** What the SDK could not read to its end. Of an answer that is whole and cannot be parsed it knows the status. */
export function isBrokenOff(error: unknown): boolean {
  return error instanceof RestError && error.code === RestError.PARSE_ERROR && error.statusCode === undefined
}

export function isBlobMissing(error: unknown): boolean {
  return azureFailureOf(error).code === 'BlobNotFound'
}
