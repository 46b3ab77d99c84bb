import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { open, readdir, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { pathToFileURL } from 'node:url'
import type { StoreTotals } from '@strata/shared/store/decorators/metrics.ts'
import { fileHolds } from '../fixtures/file-holds.ts'
import { askStrata, strataPath, type PointAnswer, type VerifyAnswer } from '../fixtures/strata-program.ts'
import { temporaryDirectory } from '../fixtures/temporary.ts'
import { startAzurite } from '../servers/azurite.ts'
import { cephRgwRequirement, startCephRgw } from '../servers/ceph-rgw.ts'
import { redisRequirement } from '../servers/redis.ts'
import { describeWith } from '../servers/require-server.ts'

/** `strata copy` as its user runs it: three copies, in three kinds of store, two of which are lost. */
const MiB = 2 ** 20
const diskBytes = 48 * MiB
const bucket = 'strata-copy'

interface CopyAnswer {
  readonly points: number
  readonly objects: number
  readonly bytes: number
  readonly damaged: readonly unknown[]
  readonly copies: readonly { readonly name: string | null; readonly points: number; readonly marked: number }[]
  readonly requests: { readonly source: StoreTotals; readonly target: StoreTotals }
}

describeWith(redisRequirement, 'copies by the command line', () => {
  test('a run that is killed is gone on with: what had arrived is not sent again', async () => {
    await using directory = await temporaryDirectory()
    await killAndGoOn(directory.path)
  })

  describeWith(cephRgwRequirement, 'from a directory to Ceph RGW, and from there to Azurite', () => {
    test('with the source gone, and then the first copy too, every point restores to the byte', async () => {
      await using directory = await temporaryDirectory()
      const servers = [await startCephRgw(), await startAzurite()] as const
      try {
        await copyThrough(servers, directory.path)
      } finally {
        for (const server of servers) await server.stop()
      }
    })
  })
})

async function copyThrough(
  [ceph, azurite]: readonly [Awaited<ReturnType<typeof startCephRgw>>, Awaited<ReturnType<typeof startAzurite>>],
  directory: string,
): Promise<void> {
  await ceph.createBucket(bucket)
  await azurite.createBucket(bucket)
  const home = join(directory, 'store')
  const [s3, azure] = [ceph.storeUrl(bucket, 'copy'), azurite.storeUrl(bucket)]
  const env = {
    ...process.env,
    ...ceph.env,
    ...azurite.env,
    STRATA_STORE: pathToFileURL(home).href,
    STRATA_STATE: join(directory, 'state'),
    STRATA_PASSPHRASE: 'a passphrase for tests',
  }
  const ask = <Answer>(...args: string[]): Promise<Answer> => askStrata<Answer>(args, { env })
  const image = join(directory, 'disk.img')
  const bytes = randomBytes(diskBytes)
  await writeFile(image, bytes)
  await ask('init')
  await ask('backup', image, '--set', 'machine')
  const first = Buffer.from(bytes)
  await using file = await open(image, 'r+')
  for (const at of [3 * MiB, 20 * MiB, 47 * MiB]) {
    randomBytes(MiB).copy(bytes, at)
    await file.write(bytes, at, MiB, at)
    await ask('backup', image, '--set', 'machine')
  }
  const points = await ask<PointAnswer[]>('points')
  const policy = {
    strata: 'policy',
    version: 1,
    schedule: { every: '1d' },
    retention: { last: 9 },
    copies: [{ name: 'far', to: azure, retention: { last: 2 } }],
  }
  await writeFile(join(directory, 'policy.json'), JSON.stringify(policy))
  await ask('policy', 'apply', join(directory, 'policy.json'))

  const copied = await ask<CopyAnswer>('copy', '--to', s3)
  assert.deepEqual([copied.points, copied.damaged], [4, []])
  assert.ok(copied.bytes >= diskBytes + 3 * MiB)
  // Each byte once over each link, but for the maps.
  assert.ok(copied.requests.source.bytesReceived < copied.bytes * 1.05)
  assert.ok(copied.requests.target.bytesSent < copied.bytes * 1.05)
  const again = await ask<CopyAnswer>('copy', '--to', s3)
  assert.deepEqual([again.points, again.objects], [0, 0])

  // The copy that the policy wants, made of the first one; it keeps the two newest points.
  const far = await ask<CopyAnswer>('copy', '--store', s3)
  assert.deepEqual(
    far.copies.map(({ name, points: count, marked }) => ({ name, count, marked })),
    [{ name: 'far', count: 2, marked: 0 }],
  )
  const there = await ask<PointAnswer[]>('points', '--store', azure)
  assert.deepEqual(
    there.map(({ point }) => point),
    points.slice(2).map(({ point }) => point),
  )
  assert.equal((await ask<PointAnswer[]>('points', '--all', '--store', azure)).length, 4)

  // Nothing but a store and a passphrase.
  await rename(home, `${home}-lost`)
  await rm(join(directory, 'state'), { recursive: true })
  const restored = join(directory, 'restored.img')
  const restore = async (point: string, store: string, expected: Uint8Array): Promise<void> => {
    await ask('restore', point, '--store', store, '--to', restored, '--force')
    assert.ok(await fileHolds(restored, expected), `${point} in ${store}`)
  }
  await restore(points[0]?.point ?? assert.fail(), s3, first)
  await restore('latest:machine', s3, bytes)
  assert.equal((await ask<VerifyAnswer>('verify', '--all', '--store', s3)).state, 'intact')
  // A copy of the copy; the store at the end of it was lost as well.
  await ask('copy', '--store', s3, '--to', pathToFileURL(join(directory, 'back')).href)
  await ceph.stop()
  await restore('latest:machine', azure, bytes)
  assert.equal((await ask<VerifyAnswer>('verify', '--all', '--store', azure)).points.length, 2)
  await restore(points[0]?.point ?? assert.fail(), pathToFileURL(join(directory, 'back')).href, first)
}

async function killAndGoOn(directory: string): Promise<void> {
  const [home, away] = [join(directory, 'store'), join(directory, 'away')]
  const env = {
    ...process.env,
    STRATA_STORE: pathToFileURL(home).href,
    STRATA_STATE: join(directory, 'state'),
    STRATA_PASSPHRASE: 'a passphrase for tests',
  }
  const ask = <Answer>(...args: string[]): Promise<Answer> => askStrata<Answer>(args, { env })
  const image = join(directory, 'disk.img')
  await writeFile(image, randomBytes(4 * diskBytes))
  await ask('init')
  await ask('backup', image, '--set', 'machine')
  const to = pathToFileURL(away).href
  const slow = spawn(process.execPath, [strataPath, 'copy', '--to', to, '--bandwidth-limit', '60M'], {
    env,
    stdio: 'ignore',
  })
  const ended = new Promise((resolve) => slow.once('close', resolve))
  const packs = async (): Promise<number> => {
    const names = await readdir(away, { recursive: true }).catch(() => [])
    return names.filter((name) => /\/data-[^/]+$/.test(name) && !name.includes('~writing')).length
  }
  while ((await packs()) === 0 && slow.exitCode === null) await sleep(20)
  slow.kill('SIGKILL')
  await ended
  const arrived = await packs()
  const next = await ask<CopyAnswer & { skippedObjects: number }>('copy', '--to', to)
  assert.ok(
    arrived > 0 && next.skippedObjects >= arrived,
    `${String(arrived)} had arrived, ${String(next.skippedObjects)} were skipped`,
  )
  assert.deepEqual([next.points, next.damaged], [1, []])
  assert.equal((await ask<VerifyAnswer>('verify', '--all', '--store', to)).state, 'intact')
}
