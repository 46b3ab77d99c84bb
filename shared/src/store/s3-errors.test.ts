import assert from 'node:assert/strict'
import { test } from 'node:test'
import { S3ServiceException } from '@aws-sdk/client-s3'
import { whoLacksLocks } from './s3-errors.ts'

function refused(name: string, httpStatusCode: number): S3ServiceException {
  return new S3ServiceException({ name, $fault: 'client', $metadata: { httpStatusCode } })
}

test('a bucket without Object Lock and a server that knows nothing of it are told apart from all other refusals', () => {
  for (const [name, status, lacking] of [
    ['ObjectLockConfigurationNotFoundError', 404, 'bucket'],
    ['NoSuchObjectLockConfiguration', 404, 'bucket'],
    ['NotImplemented', 501, 'server'],
    ['NotImplemented', 400, 'server'],
    ['MethodNotAllowed', 405, 'server'],
    ['UnknownError', 501, 'server'],
    ['AccessDenied', 403, undefined],
    ['NoSuchBucket', 404, undefined],
    ['InvalidRequest', 400, undefined],
    ['SlowDown', 503, undefined],
  ] as const) {
    assert.equal(whoLacksLocks(refused(name, status)), lacking, `${name} ${String(status)}`)
  }
  assert.equal(whoLacksLocks(new Error('no answer at all')), undefined)
})
