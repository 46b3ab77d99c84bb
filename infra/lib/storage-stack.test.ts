import assert from 'node:assert/strict'
import { test } from 'node:test'
import { App, Validations } from 'aws-cdk-lib'
import { Match } from 'aws-cdk-lib/assertions'
import { AwsSolutionsChecks } from 'cdk-nag'
import { StorageStack } from './storage-stack.ts'
import { storageTemplate } from './storage-template.ts'

const template = storageTemplate()

interface BucketResource {
  DeletionPolicy: string
  UpdateReplacePolicy: string
  Properties: Record<string, unknown>
}

const buckets = Object.entries(template.findResources('AWS::S3::Bucket')) as [string, BucketResource][]

test('the repository has versions and locks, and a key of its own', () => {
  template.hasResourceProperties('AWS::S3::Bucket', {
    VersioningConfiguration: { Status: 'Enabled' },
    ObjectLockEnabled: true,
    // A default retention would lock what an aborted session wrote.
    ObjectLockConfiguration: Match.absent(),
    BucketEncryption: {
      ServerSideEncryptionConfiguration: [
        { BucketKeyEnabled: true, ServerSideEncryptionByDefault: { SSEAlgorithm: 'aws:kms' } },
      ],
    },
  })
  template.hasResource('AWS::KMS::Key', { DeletionPolicy: 'Retain', Properties: { EnableKeyRotation: true } })
})

test('in the repository only what is tagged as retired expires', () => {
  const [repository] = buckets.filter(([, { Properties }]) => Properties['ObjectLockEnabled'] === true)
  assert.ok(repository !== undefined)
  const { Rules } = repository[1].Properties['LifecycleConfiguration'] as { Rules: Record<string, unknown>[] }
  const deleting = Rules.filter((rule) => 'ExpirationInDays' in rule || 'NoncurrentVersionExpiration' in rule)
  assert.equal(deleting.length, 1)
  assert.deepEqual(deleting[0]?.['TagFilters'], [{ Key: 'strata-state', Value: 'retired' }])
  assert.ok(Rules.some((rule) => rule['ExpiredObjectDeleteMarker'] === true))
  // Moving objects to another class, or back, is never done behind a chain's back.
  assert.ok(Rules.every((rule) => !('Transitions' in rule) && !('NoncurrentVersionTransitions' in rule)))
})

test('staging keeps no versions, no locks, and nothing for longer than 14 days', () => {
  template.hasResourceProperties('AWS::S3::Bucket', {
    VersioningConfiguration: Match.absent(),
    ObjectLockEnabled: Match.absent(),
    LoggingConfiguration: { LogFilePrefix: 'staging/' },
    LifecycleConfiguration: { Rules: Match.arrayWith([Match.objectLike({ ExpirationInDays: 14 })]) },
  })
})

test('no bucket goes away with the stack, is public, keeps broken uploads, or answers without TLS 1.2', () => {
  assert.equal(buckets.length, 3)
  for (const [id, bucket] of buckets) {
    assert.equal(bucket.DeletionPolicy, 'Retain', id)
    assert.equal(bucket.UpdateReplacePolicy, 'Retain', id)
    const { PublicAccessBlockConfiguration, LifecycleConfiguration } = bucket.Properties
    assert.deepEqual(
      PublicAccessBlockConfiguration,
      { BlockPublicAcls: true, BlockPublicPolicy: true, IgnorePublicAcls: true, RestrictPublicBuckets: true },
      id,
    )
    const { Rules } = LifecycleConfiguration as { Rules: Record<string, unknown>[] }
    assert.ok(
      Rules.some((rule) => 'AbortIncompleteMultipartUpload' in rule),
      id,
    )
    const refusal = (condition: object) => Match.objectLike({ Effect: 'Deny', Action: 's3:*', Condition: condition })
    for (const condition of [
      { Bool: { 'aws:SecureTransport': 'false' } },
      { NumericLessThan: { 's3:TlsVersion': 1.2 } },
    ]) {
      template.hasResourceProperties('AWS::S3::BucketPolicy', {
        Bucket: { Ref: id },
        PolicyDocument: { Statement: Match.arrayWith([refusal(condition)]) },
      })
    }
  }
})

test('the rules of cdk-nag for AWS solutions have nothing to say', () => {
  const app = new App()
  new StorageStack(app, 'Test')
  Validations.of(app).addPlugins(new AwsSolutionsChecks(app))
  app.synth()
  assert.notEqual(process.exitCode, 1)
})
