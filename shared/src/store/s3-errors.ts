import { S3ServiceException } from '@aws-sdk/client-s3'
import { StrataError } from '../errors.ts'
import { connectionFailure, httpError } from './http-errors.ts'
import type { HttpFailure } from './http-errors.ts'

/**
 * What the SDK's errors mean. @param aheadMs how far the clock that the request was signed by was ahead of the store's
 */
export function s3Error(error: unknown, aheadMs: number | undefined, doing: string): StrataError {
  if (error instanceof Error && error.message === 'Region is missing') {
    return new StrataError('E_STORE_URL', 'no region is given: neither in the store URL (?region=…) nor in AWS_REGION')
  }
  return httpError(error, { ...s3FailureOf(error), aheadMs }, doing)
}

const refusalStatusMin = 400

export function s3FailureOf(error: unknown): HttpFailure {
  if (error instanceof S3ServiceException) {
    const { httpStatusCode, requestId } = error.$metadata
    return { status: httpStatusCode, code: error.name, requestId }
  }
  const isProvider = error instanceof Error && error.name.endsWith('ProviderError')
  return { status: refusalOf(error), code: isProvider ? error.name : undefined, requestId: undefined }
}

/**
 * Why a request about Object Lock was refused, where that is because there is none: in the bucket, or on a server that knows
 * nothing of it. Such a server has no such subresource: some say that it is not implemented (501), others that the method is
 * not allowed on what they take for an object (405).
 */
export function whoLacksLocks(error: unknown): 'bucket' | 'server' | undefined {
  const { status, code } = s3FailureOf(error)
  if (code === 'ObjectLockConfigurationNotFoundError' || code === 'NoSuchObjectLockConfiguration') return 'bucket'
  return code === 'NotImplemented' || status === 405 || status === 501 ? 'server' : undefined
}

/**
 * The status of a refusal whose body is none of S3's (a load balancer's page): the SDK throws whatever its parser
 * threw, with the status noted on it. Below 400 a body that cannot be read stays what is wrong; and where the body broke
 * off, so much of what was refused is unknown (a 404 may be of the object or of the bucket) that it counts as no answer.
 */
function refusalOf(error: unknown): number | undefined {
  if (connectionFailure(error) !== undefined) return undefined
  const status = (error as { $metadata?: { httpStatusCode?: number } } | undefined)?.$metadata?.httpStatusCode
  return status !== undefined && status >= refusalStatusMin ? status : undefined
}
