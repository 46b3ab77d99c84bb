import assert from 'node:assert/strict'
import { test } from 'node:test'
import { s3Dialect } from '@strata/shared/lifecycle/dialects.ts'
import { compileLifecycle, type LifecycleInput } from '@strata/shared/lifecycle/rules.ts'
import type { S3Rule } from '@strata/shared/lifecycle/s3-rules.ts'
import { storageTemplate } from '../../infra/lib/storage-template.ts'

/**
 * Infrastructure is described, not computed from the program. So that a new bucket needs nothing mended, its rules are those
 * that strata lifecycle compiles, to the name.
 */
interface CloudFormationRule {
  readonly Id: string
  readonly Status: 'Enabled'
  readonly Prefix?: string
  readonly TagFilters?: { Key: string; Value: string }[]
  readonly ExpirationInDays?: number
  readonly ExpiredObjectDeleteMarker?: boolean
  readonly NoncurrentVersionExpiration?: { NoncurrentDays: number }
  readonly AbortIncompleteMultipartUpload?: { DaysAfterInitiation: number }
}

interface BucketResource {
  readonly Properties: {
    readonly ObjectLockEnabled?: boolean
    readonly LoggingConfiguration?: { readonly LogFilePrefix?: string }
    readonly LifecycleConfiguration: { readonly Rules: readonly CloudFormationRule[] }
  }
}

const buckets = Object.values(storageTemplate().findResources('AWS::S3::Bucket')) as BucketResource[]

/** CloudFormation has the same in other members. */
function asOnS3(rule: CloudFormationRule): S3Rule {
  const { Id, Status, Prefix = '', TagFilters, ExpirationInDays, ExpiredObjectDeleteMarker, ...same } = rule
  const expiration = { Days: ExpirationInDays, ExpiredObjectDeleteMarker }
  const isExpiring = ExpirationInDays !== undefined || ExpiredObjectDeleteMarker !== undefined
  return {
    ...same,
    ID: Id,
    Status,
    Filter: TagFilters === undefined ? { Prefix } : { And: { Prefix, Tags: TagFilters } },
    ...(isExpiring ? { Expiration: expiration } : {}),
  }
}

function assertCompiled(bucket: BucketResource | undefined, input: LifecycleInput): void {
  const dialect = s3Dialect({ use: input.use, prefix: '', keepsVersions: true })
  const wanted = compileLifecycle(input).map(dialect.compile)
  const described = bucket?.Properties.LifecycleConfiguration.Rules.map(asOnS3) ?? []
  assert.equal(described.length, wanted.length)
  for (const rule of wanted) {
    const same = described.some((other) => dialect.isSame(rule, other))
    assert.ok(same, `correct infra/lib: ${JSON.stringify(rule)} is not among ${JSON.stringify(described)}`)
  }
}

test("the repository's rules are those that are compiled", () => {
  const bucket = buckets.find(({ Properties }) => Properties.ObjectLockEnabled === true)
  assertCompiled(bucket, { use: 'repository', provider: 's3', prefix: '', keepsVersions: true })
})

test("the staging area's rules are those that are compiled", () => {
  const bucket = buckets.find(({ Properties }) => Properties.LoggingConfiguration?.LogFilePrefix === 'staging/')
  assertCompiled(bucket, { use: 'staging', provider: 's3', prefix: '' })
})
