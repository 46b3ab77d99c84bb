import { StrataError } from '../errors.ts'
import type { StoreRequestKind } from './store-requests.ts'

/** What requests take, in the words of each provider. */
const s3Permissions: Readonly<Record<StoreRequestKind, string>> = {
  put: 's3:PutObject',
  copy: 's3:PutObject, and s3:GetObject of what is copied',
  get: 's3:GetObject, and s3:ListBucket to see what is not there',
  head: 's3:GetObject, and s3:ListBucket to see what is not there',
  list: 's3:ListBucket',
  tag: 's3:PutObjectTagging and s3:GetObjectTagging',
  lock: 's3:GetBucketObjectLockConfiguration',
  delete: 's3:DeleteObject, and s3:AbortMultipartUpload',
}

const azurePermissions: Readonly<Record<StoreRequestKind, string>> = {
  put: 'create and write (SAS: cw)',
  copy: 'create, write and read (SAS: cwr)',
  get: 'read (SAS: r)',
  head: 'read (SAS: r)',
  list: 'list (SAS: l)',
  tag: 'tags (SAS: t) and find by tags (SAS: f)',
  lock: 'set immutability policies (SAS: i)',
  delete: 'delete (SAS: d)',
}

/** Codes by which a server refuses what was asked, and not who asks or when. */
const refusals: ReadonlySet<unknown> = new Set([
  'AccessDenied',
  'AuthorizationPermissionMismatch',
  'AuthorizationResourceTypeMismatch',
  'AuthorizationServiceMismatch',
])

/** An error that says as well which permission is missing, where it is about that. */
export function namingPermission(error: StrataError, provider: 's3' | 'azure', kind: StoreRequestKind): StrataError {
  if (error.code !== 'E_STORE_DENIED' || !refusals.has(error.details?.['serverCode'])) return error
  const permission = (provider === 's3' ? s3Permissions : azurePermissions)[kind]
  return new StrataError(error.code, `${error.message}; it takes the permission ${permission}`, {
    cause: error,
    ...(error.details === undefined ? {} : { details: error.details }),
  })
}
