import { DeleteObjectCommand, HeadObjectCommand, ListObjectVersionsCommand, S3Client } from '@aws-sdk/client-s3'
import { storeAttemptsMin } from '../limits.ts'
import type { Environment } from './environment.ts'
import { s3ClientConfig } from './s3-client.ts'
import { s3Error, s3FailureOf } from './s3-errors.ts'
import type { S3Location } from './store-url.ts'

/**
 * The versions of objects in a bucket that keeps them, where a delete alone takes nothing away; and the locks that such a
 * bucket may hold them by. A server that knows no versions has none.
 */
export interface S3VersionsPlace {
  readonly location: S3Location
  readonly env: Environment
}

/**
 * Deletes every version, and every delete marker, of the objects whose names begin with `prefix`.
 *
 * E_STORE_DENIED: without s3:ListBucketVersions and s3:DeleteObjectVersion; and where a lock holds a version.
 */
export async function deleteS3Versions(place: S3VersionsPlace, prefix: string): Promise<void> {
  await withClient(place, `deleting all versions of ${prefix}`, async (client) => {
    const { bucket: Bucket } = place.location
    for (;;) {
      // Always from the beginning: what was on the page before is gone.
      const { Versions = [], DeleteMarkers = [] } = await client.send(listCommand(place, prefix))
      const versions = [...Versions, ...DeleteMarkers]
      if (versions.length === 0) return
      for (const { Key, VersionId } of versions) await client.send(new DeleteObjectCommand({ Bucket, Key, VersionId }))
    }
  })
}

/** What holds versions of these objects, in words: until when, or a legal hold. One page of versions is looked at. */
export async function findS3Locks(place: S3VersionsPlace, prefix: string, nowMs: number): Promise<string[]> {
  const locks: string[] = []
  await withClient(place, `looking for locks on ${prefix}`, async (client) => {
    const { bucket: Bucket, prefix: storePrefix } = place.location
    const { Versions = [] } = await client.send(listCommand(place, prefix))
    for (const { Key = '', VersionId } of Versions) {
      const head = await client.send(new HeadObjectCommand({ Bucket, Key, VersionId }))
      const { ObjectLockRetainUntilDate: until, ObjectLockLegalHoldStatus: hold } = head
      const name = Key.slice(storePrefix.length)
      if (hold === 'ON') locks.push(`a legal hold on ${name}`)
      if (until !== undefined && until.getTime() > nowMs) locks.push(`a lock on ${name} until ${until.toISOString()}`)
    }
  })
  return locks
}

function listCommand({ location }: S3VersionsPlace, prefix: string): ListObjectVersionsCommand {
  return new ListObjectVersionsCommand({ Bucket: location.bucket, Prefix: location.prefix + prefix })
}

async function withClient(
  { location, env }: S3VersionsPlace,
  doing: string,
  work: (client: S3Client) => Promise<void>,
): Promise<void> {
  const client = new S3Client({ ...s3ClientConfig(location, env), maxAttempts: storeAttemptsMin })
  try {
    await work(client)
  } catch (error) {
    if (s3FailureOf(error).code === 'NotImplemented') return
    throw s3Error(error, undefined, `${doing} in s3://${location.bucket}/${location.prefix}`)
  } finally {
    client.destroy()
  }
}
