/**
 * Where backups live. Losing anything here loses points, so nothing in it goes away with the stack, and only what
 * Strata itself has tagged as retired ever expires: a rule by age or prefix alone would break chains.
 */
import { CfnOutput, Duration, RemovalPolicy, Stack, type StackProps } from 'aws-cdk-lib'
import { Key } from 'aws-cdk-lib/aws-kms'
import {
  BlockPublicAccess,
  Bucket,
  BucketEncryption,
  type BucketProps,
  type IBucket,
  type LifecycleRule,
  ObjectOwnership,
} from 'aws-cdk-lib/aws-s3'
import { S3_SERVER_ACCESS_LOGS_USE_BUCKET_POLICY } from 'aws-cdk-lib/cx-api'
import type { Construct } from 'constructs'
import { lifecycleDays, retiredTag, ruleIdStart, tenantsPrefix } from './lifecycle-days.ts'

/** No bucket of Strata's answers anybody without TLS 1.2, or the public. */
const neverPublic = {
  blockPublicAccess: BlockPublicAccess.BLOCK_ALL,
  enforceSSL: true,
  minimumTLSVersion: 1.2,
  objectOwnership: ObjectOwnership.BUCKET_OWNER_ENFORCED,
  removalPolicy: RemovalPolicy.RETAIN,
} satisfies BucketProps

const abortUploads: LifecycleRule = {
  id: `${ruleIdStart}abort-uploads`,
  abortIncompleteMultipartUploadAfter: Duration.days(lifecycleDays.incompleteUpload),
}

/** Classes by age are a matter of each tenant's policy: strata lifecycle apply adds them. */
const repositoryRules: LifecycleRule[] = [
  { ...abortUploads, prefix: tenantsPrefix },
  {
    id: `${ruleIdStart}expire-retired`,
    prefix: tenantsPrefix,
    tagFilters: retiredTag,
    expiration: Duration.days(lifecycleDays.retired),
    // Tags belong to versions, so this too reaches retired ones only: what somebody else deleted or overwrote stays
    // as an older version, where readers find it.
    noncurrentVersionExpiration: Duration.days(lifecycleDays.retiredNoncurrent),
  },
  // A rule of its own, since S3 does not take it together with a tag.
  { id: `${ruleIdStart}remove-delete-markers`, prefix: tenantsPrefix, expiredObjectDeleteMarker: true },
]

const stagingRules: LifecycleRule[] = [
  abortUploads,
  { id: `${ruleIdStart}expire-staged`, expiration: Duration.days(lifecycleDays.staging) },
]

export class StorageStack extends Stack {
  constructor(scope: Construct, id: string, props?: StackProps) {
    super(scope, id, props)
    // S3's log delivery gets its right from the bucket's policy: access control lists are off.
    this.node.setContext(S3_SERVER_ACCESS_LOGS_USE_BUCKET_POLICY, true)

    const accessLogs = new Bucket(this, 'AccessLogs', {
      ...neverPublic,
      encryption: BucketEncryption.S3_MANAGED,
      lifecycleRules: [{ id: 'expire', expiration: Duration.days(lifecycleDays.accessLog) }, abortUploads],
    })
    const logged = {
      // The library's types are not made for exactOptionalPropertyTypes: a Bucket is an IBucket all the same.
      serverAccessLogsBucket: accessLogs as IBucket,
    }

    const key = new Key(this, 'RepositoryKey', {
      description: 'Encrypts the objects of a Strata repository at rest, beneath their own sealing',
      enableKeyRotation: true,
      removalPolicy: RemovalPolicy.RETAIN,
    })
    const repository = new Bucket(this, 'Repository', {
      ...neverPublic,
      encryption: BucketEncryption.KMS,
      encryptionKey: key,
      // One request to KMS for many objects instead of one each.
      bucketKeyEnabled: true,
      // Lock needs versions. There is no default retention: each object is locked once, at commit, to its own chain's
      // horizon.
      versioned: true,
      objectLockEnabled: true,
      lifecycleRules: repositoryRules,
      ...logged,
      serverAccessLogsPrefix: 'repository/',
    })

    // What agents upload until a worker has packed it: sealed by the agent, wanted for hours, never versioned or locked.
    const staging = new Bucket(this, 'Staging', {
      ...neverPublic,
      encryption: BucketEncryption.S3_MANAGED,
      lifecycleRules: stagingRules,
      ...logged,
      serverAccessLogsPrefix: 'staging/',
    })

    new CfnOutput(this, 'RepositoryBucketName', { value: repository.bucketName })
    new CfnOutput(this, 'RepositoryKeyArn', { value: key.keyArn })
    new CfnOutput(this, 'StagingBucketName', { value: staging.bucketName })
  }
}
