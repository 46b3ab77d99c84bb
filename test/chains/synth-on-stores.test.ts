import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { open, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { systemClock, systemRandomBytes } from '@strata/shared/clock.ts'
import { openStore } from '@strata/shared/store/open-store.ts'
import type { StoreTotals } from '@strata/shared/store/decorators/metrics.ts'
import { askStrata, type BackupAnswer } from '../fixtures/strata-program.ts'
import { temporaryDirectory } from '../fixtures/temporary.ts'
import { fileHolds } from '../fixtures/file-holds.ts'
import { startAzurite } from '../servers/azurite.ts'
import { cephRgwRequirement, startCephRgw } from '../servers/ceph-rgw.ts'
import { redisRequirement } from '../servers/redis.ts'
import { describeWith } from '../servers/require-server.ts'
import type { StoreServer } from '../servers/store-server.ts'

/** `strata synth` as its user runs it, where the store is a server: most bytes never leave it. */
const MiB = 2 ** 20
const blockBytes = 256 * 1024
const diskBytes = 192 * MiB
const bucket = 'strata-synth'

interface SynthAnswer {
  readonly point: string
  readonly chain: string
  readonly serverSideBytes: number
  readonly workerBytes: number
  readonly endpointBytes: number
  readonly durationMs: number
  readonly requests: StoreTotals
}

function describeOn(name: string, start: () => Promise<StoreServer>): void {
  describeWith(redisRequirement, `a synthetic full on ${name}, by the command line`, () => {
    test('at most a tenth of the bytes passes the worker with one block in a hundred dead; the old chain can vanish', async () => {
      await using directory = await temporaryDirectory()
      const server = await start()
      try {
        await synthOn(server, directory.path)
      } finally {
        await server.stop()
      }
    })
  })
}

describeWith(cephRgwRequirement, 'with Ceph RGW', () => {
  describeOn('Ceph RGW', () => startCephRgw())
})
describeOn('Azurite', () => startAzurite())

async function synthOn(server: StoreServer, directory: string): Promise<void> {
  await server.createBucket(bucket)
  const url = server.storeUrl(bucket)
  const env = {
    ...process.env,
    ...server.env,
    STRATA_STORE: url,
    STRATA_STATE: join(directory, 'state'),
    STRATA_PASSPHRASE: 'a passphrase for tests',
  }
  const ask = <Answer>(...args: string[]): Promise<Answer> => askStrata<Answer>(args, { env })
  const image = join(directory, 'disk.img')
  const bytes = randomBytes(diskBytes)
  await writeFile(image, bytes)
  await ask('init')
  const full = await ask<BackupAnswer & { chain: string }>('backup', image, '--set', 'machine')
  const changed = Math.round(diskBytes / blockBytes / 100)
  await using file = await open(image, 'r+')
  for (let index = 0; index < changed; index += 1) {
    // Spread over the disk, never at the same place of two packs.
    const offset = Math.floor(((index + 0.37) / changed) * (diskBytes / blockBytes)) * blockBytes
    bytes.set(randomBytes(blockBytes), offset)
    await file.write(bytes, offset, blockBytes, offset)
  }
  await ask('backup', image, '--set', 'machine')
  const synth = await ask<SynthAnswer>('synth', '--set', 'machine')
  const total = synth.serverSideBytes + synth.workerBytes
  assert.ok(synth.workerBytes <= total / 10, `${String(synth.workerBytes)} of ${String(total)} bytes`)
  assert.ok(total >= diskBytes && synth.endpointBytes === 0)
  // What the process has sent and received, all in all: also the ends of packs that it reads twice, and the maps.
  const { bytesSent, bytesReceived } = synth.requests
  assert.ok(bytesSent + bytesReceived <= total / 5, `${String(bytesSent)} sent, ${String(bytesReceived)} received`)

  await removeChain(url, env, full.chain)
  const restored = join(directory, 'restored.img')
  await ask('restore', 'latest:machine', '--to', restored)
  assert.ok(await fileHolds(restored, bytes))
  const verified = await ask<{ state: string }>('verify', 'latest:machine')
  assert.equal(verified.state, 'intact')
}

/** All objects of a chain, as if retention had let it go long ago. */
async function removeChain(url: string, env: NodeJS.ProcessEnv, chain: string): Promise<void> {
  const store = await openStore(url, { env, clock: systemClock, randomBytes: systemRandomBytes })
  let removed = 0
  for await (const { name } of store.list('tenants/')) {
    if (!name.includes(`/${chain}/`)) continue
    await store.delete(name)
    removed += 1
  }
  await store.close()
  assert.ok(removed >= 4, `${String(removed)} objects`)
}
