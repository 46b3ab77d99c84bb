import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { open, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import {
  DeleteBucketCommand,
  DeleteObjectCommand,
  ListObjectVersionsCommand,
  PutBucketLifecycleConfigurationCommand,
  PutBucketVersioningCommand,
  PutObjectCommand,
  PutObjectRetentionCommand,
  S3ServiceException,
  type S3Client,
} from '@aws-sdk/client-s3'
import { askStrata, type BackupAnswer, type PointAnswer, type VerifyAnswer } from '../fixtures/strata-program.ts'
import { fileHolds } from '../fixtures/file-holds.ts'
import { temporaryDirectory, type TemporaryDirectory } from '../fixtures/temporary.ts'
import { cephRgwRequirement, startCephRgw, type CephRgw } from '../servers/ceph-rgw.ts'
import { redisRequirement } from '../servers/redis.ts'
import { describeWith } from '../servers/require-server.ts'

/**
 * Somebody with every credential of the bucket wants the backups gone. Real points, made by the command line under a policy
 * with locks; afterwards the same command line, as it always is, lists and restores all of them.
 */
const MiB = 2 ** 20
const bucket = 'strata-locked'
const chunkBytes = 256 * 1024

class Site {
  readonly server: CephRgw
  readonly client: S3Client
  readonly directory: TemporaryDirectory
  readonly env: NodeJS.ProcessEnv
  readonly disks: { readonly point: string; readonly bytes: Buffer }[] = []
  readonly image: string
  #bytes = randomBytes(8 * MiB)

  private constructor(server: CephRgw, directory: TemporaryDirectory) {
    this.server = server
    this.client = server.client()
    this.directory = directory
    this.image = join(directory.path, 'disk.img')
    this.env = {
      ...process.env,
      ...server.env,
      STRATA_STORE: server.storeUrl(bucket, 'backup'),
      STRATA_STATE: join(directory.path, 'state'),
      STRATA_PASSPHRASE: 'a passphrase for tests',
    }
  }

  static async open(mode: 'compliance' | 'governance'): Promise<Site> {
    // A day of its lifecycle rules is a second.
    const server = await startCephRgw({ settings: { 'rgw lc debug interval': 1 } })
    await server.createLockedBucket(bucket)
    const site = new Site(server, await temporaryDirectory())
    await site.ask('init')
    const policy = {
      schedule: { every: '1d' },
      retention: { last: 1, undoWindow: '1d' },
      chain: { maxAge: '1d' },
      immutability: { mode, days: 1 },
    }
    const file = join(site.directory.path, 'policy.json')
    await writeFile(file, JSON.stringify(policy))
    await site.ask('policy', 'apply', file)
    await writeFile(site.image, site.#bytes)
    await site.backUp()
    await site.backUp(3)
    await site.backUp(5, 9)
    return site
  }

  ask<Answer>(...args: readonly string[]): Promise<Answer> {
    return askStrata<Answer>(args, { env: this.env })
  }

  async backUp(...chunks: readonly number[]): Promise<void> {
    const bytes = Buffer.from(this.#bytes)
    await using file = await open(this.image, 'r+')
    for (const chunk of chunks) {
      bytes.set(randomBytes(chunkBytes), chunk * chunkBytes)
      await file.write(bytes, chunk * chunkBytes, chunkBytes, chunk * chunkBytes)
    }
    this.#bytes = bytes
    const { point, warnings } = await this.ask<BackupAnswer>('backup', this.image, '--set', 'machine')
    assert.deepEqual(warnings, [])
    this.disks.push({ point, bytes })
  }

  async versions(): Promise<{ Key: string; VersionId: string; isMarker: boolean }[]> {
    const {
      Versions = [],
      DeleteMarkers = [],
      IsTruncated,
    } = await this.client.send(new ListObjectVersionsCommand({ Bucket: bucket }))
    assert.equal(IsTruncated, false)
    const of = (list: { Key?: string | undefined; VersionId?: string | undefined }[], isMarker: boolean) =>
      list.map(({ Key = '', VersionId = '' }) => ({ Key, VersionId, isMarker }))
    return [...of(Versions, false), ...of(DeleteMarkers, true)]
  }

  async keys(): Promise<string[]> {
    return [...new Set((await this.versions()).map(({ Key }) => Key))]
  }

  /** All points there are, each restored by a machine that has nothing but the store and the passphrase. */
  async assertAllThere(): Promise<void> {
    const points = await this.ask<PointAnswer[]>('points')
    assert.deepEqual(
      points.map(({ point, state }) => [point, state]),
      this.disks.map(({ point }) => [point, 'complete']),
    )
    const bare = join(this.directory.path, 'bare')
    const env = { ...this.env, STRATA_STATE: bare }
    for (const { point, bytes } of this.disks) {
      const restored = join(this.directory.path, 'restored.img')
      await askStrata(['restore', point, '--to', restored, '--force'], { env })
      assert.ok(await fileHolds(restored, bytes), point)
      await rm(restored)
      await rm(bare, { recursive: true })
    }
    const locks = await this.ask<{ points: number; objects: number; unlocked: unknown[] }>('lock', 'check')
    assert.deepEqual([locks.points, locks.objects, locks.unlocked], [3, this.lockedObjects, []])
    const verified = await this.ask<VerifyAnswer>('verify', '--all')
    assert.equal(verified.state, 'intact')
    assert.equal(verified.points.length, this.disks.length)
  }

  /** Of each point a manifest, a pack and a page pack; the repository and the keys. */
  get lockedObjects(): number {
    return 3 * this.disks.length + 2
  }

  async stop(): Promise<void> {
    this.client.destroy()
    await this.server.stop()
    await this.directory[Symbol.asyncDispose]()
  }
}

async function isRefused(work: Promise<unknown>): Promise<boolean> {
  try {
    await work
    return false
  } catch (error) {
    if (error instanceof S3ServiceException && error.name === 'AccessDenied') return true
    throw error
  }
}

describeWith(cephRgwRequirement, 'with Ceph RGW', () => {
  describeWith(redisRequirement, 'whoever has all credentials of a bucket with locks', () => {
    describe('compliance', () => {
      let site: Site
      before(async () => {
        site = await Site.open('compliance')
      })
      after(async () => {
        await site.stop()
      })
      const Bucket = bucket

      test('deletes every object, and every point is there', async () => {
        for (const Key of await site.keys()) await site.client.send(new DeleteObjectCommand({ Bucket, Key }))
        await site.assertAllThere()
      })

      test('overwrites every object, and every point is there', async () => {
        for (const Key of await site.keys()) {
          await site.client.send(new PutObjectCommand({ Bucket, Key, Body: 'you have been encrypted' }))
        }
        await site.assertAllThere()
      })

      test('deletes every version that it can: none of what is behind a point', async () => {
        let refused = 0
        for (const { Key, VersionId } of await site.versions()) {
          const command = new DeleteObjectCommand({ Bucket, Key, VersionId, BypassGovernanceRetention: true })
          if (await isRefused(site.client.send(command))) refused += 1
        }
        assert.equal(refused, site.lockedObjects)
        await site.assertAllThere()
      })

      test('puts garbage where it has deleted, and every point is there', async () => {
        for (const Key of await site.keys()) {
          await site.client.send(new PutObjectCommand({ Bucket, Key, Body: 'garbage' }))
          await site.client.send(new DeleteObjectCommand({ Bucket, Key }))
        }
        await site.assertAllThere()
      })

      test('shortens no lock, and turns off neither versions nor the bucket', async () => {
        const soon = new Date(Date.now() + 60_000)
        const locked = (await site.versions()).filter(({ Key, isMarker }) => !isMarker && Key.includes('/points/'))
        const first = locked.at(-1) ?? assert.fail()
        for (const Mode of ['COMPLIANCE', 'GOVERNANCE'] as const) {
          const command = new PutObjectRetentionCommand({
            Bucket,
            Key: first.Key,
            VersionId: first.VersionId,
            BypassGovernanceRetention: true,
            Retention: { Mode, RetainUntilDate: soon },
          })
          assert.ok(await isRefused(site.client.send(command)))
        }
        const VersioningConfiguration = { Status: 'Suspended' } as const
        await assert.rejects(site.client.send(new PutBucketVersioningCommand({ Bucket, VersioningConfiguration })))
        await assert.rejects(site.client.send(new DeleteBucketCommand({ Bucket })))
      })

      test('lets rules expire everything, and every point is there', async () => {
        const rule = { ID: 'away', Status: 'Enabled', Filter: { Prefix: '' } } as const
        const Rules = [{ ...rule, Expiration: { Days: 1 }, NoncurrentVersionExpiration: { NoncurrentDays: 1 } }]
        await site.client.send(
          new PutBucketLifecycleConfigurationCommand({ Bucket, LifecycleConfiguration: { Rules } }),
        )
        const deadlineMs = Date.now() + 60_000
        const isDone = async (): Promise<boolean> => {
          const versions = await site.versions()
          // What is not locked is gone, and of what is locked the versions above it.
          return versions.filter(({ isMarker }) => !isMarker).length === site.lockedObjects
        }
        while (!(await isDone())) {
          assert.ok(Date.now() < deadlineMs, 'the rules do something')
          await new Promise((resolve) => setTimeout(resolve, 500))
        }
        await site.assertAllThere()
      })
    })

    test('governance: only with the permission to bypass it versions go', async () => {
      const site = await Site.open('governance')
      try {
        let refused = 0
        for (const { Key, VersionId } of await site.versions()) {
          if (await isRefused(site.client.send(new DeleteObjectCommand({ Bucket: bucket, Key, VersionId }))))
            refused += 1
        }
        assert.equal(refused, site.lockedObjects)
        await site.assertAllThere()
        const [one] = (await site.versions()).filter(({ Key }) => Key.includes('/points/'))
        const { Key = '', VersionId = '' } = one ?? {}
        const command = { Bucket: bucket, Key, VersionId, BypassGovernanceRetention: true }
        assert.ok(!(await isRefused(site.client.send(new DeleteObjectCommand(command)))))
      } finally {
        await site.stop()
      }
    })
  })
})
