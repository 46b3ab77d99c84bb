import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import { test } from 'node:test'
import { fileHolds } from '../fixtures/file-holds.ts'
import { askStrata } from '../fixtures/strata-program.ts'
import { temporaryDirectory } from '../fixtures/temporary.ts'
import { runTool } from '../fixtures/tool.ts'
import { startAzurite } from '../servers/azurite.ts'
import { cephRgwRequirement, startCephRgw } from '../servers/ceph-rgw.ts'
import { redisRequirement } from '../servers/redis.ts'
import { describeWith } from '../servers/require-server.ts'
import type { StoreServer } from '../servers/store-server.ts'
import { nbdRequirement } from './clients.ts'
import { Mounted } from './mounted.ts'

/** `strata mount` where the store is a server. */
const MiB = 2 ** 20
const bucket = 'strata-mount'

function describeOn(name: string, start: () => Promise<StoreServer>): void {
  describeWith(redisRequirement, `a mount of what lies on ${name}`, () => {
    describeWith(nbdRequirement, 'with clients of others', () => {
      test('is the disk to the byte, and fetches no more than that', async () => {
        await using directory = await temporaryDirectory()
        const server = await start()
        try {
          await server.createBucket(bucket)
          const env = {
            ...process.env,
            ...server.env,
            STRATA_STORE: server.storeUrl(bucket),
            STRATA_STATE: directory.file('state'),
            STRATA_PASSPHRASE: 'a passphrase for tests',
          }
          const disk = Buffer.concat([randomBytes(20 * MiB), Buffer.alloc(30 * MiB), randomBytes(3 * MiB + 5)])
          const image = directory.file('disk.img')
          await writeFile(image, disk)
          await askStrata(['init'], { env })
          await askStrata(['backup', image, '--set', 'machine'], { env })
          await using mounted = await Mounted.start(['latest:machine', '--socket', directory.file('nbd.sock')], env)
          const copy = directory.file('copy.img')
          await runTool('nbdcopy', ['--connections=2', mounted.answer.uri, copy])
          assert.ok(await fileHolds(copy, disk))
          await mounted.stop()
          const [, read = ''] = /([0-9.]+) MiB read from the store/.exec(mounted.messages) ?? []
          assert.ok(Number(read) > 22 && Number(read) < 28, mounted.messages)
        } finally {
          await server.stop()
        }
      })
    })
  })
}

describeWith(cephRgwRequirement, 'with Ceph RGW', () => {
  describeOn('Ceph RGW', () => startCephRgw())
})
describeOn('Azurite', () => startAzurite())
