import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { digestBytes, zeroDigest } from '@strata/shared/format/digest.ts'
import type { SegmentEntry } from '@strata/shared/format/segment.ts'
import { pageEntriesMax } from '@strata/shared/limits.ts'
import { noReference, type DigestReference } from '../track/digest-reference.ts'
import { SentBlocks } from './sent-blocks.ts'

const blockBytes = 65_536
const blocks = 2 * pageEntriesMax + 10
const disk = { sizeBytes: blocks * blockBytes - 1, blockBytes }

function pathFor(t: TestContext): string {
  const directory = mkdtempSync(join(tmpdir(), 'strata-sent-'))
  t.after(() => {
    rmSync(directory, { recursive: true })
  })
  return join(directory, 'disk.sent')
}

const digestOf = (byte: number): Uint8Array => new Uint8Array(digestBytes).fill(byte)
const data = (block: number, byte: number): SegmentEntry => {
  return { state: 'data', block, digest: digestOf(byte), offset: 0, length: blockBytes }
}
const zero = (block: number): SegmentEntry => ({ state: 'zero', block, digest: zeroDigest })

async function at(reference: DigestReference, block: number): Promise<number | null> {
  const page = await reference.page(Math.floor(block / pageEntriesMax))
  return page?.[(block % pageEntriesMax) * digestBytes] ?? null
}

const unknown = 0xff

/** All blocks hold 7, as far as the disk goes. */
const sevens: DigestReference = {
  page: (page) =>
    Promise.resolve(new Uint8Array(Math.min(pageEntriesMax, blocks - page * pageEntriesMax) * 32).fill(7)),
  pageWithData: (page) => Promise.resolve(page < 3 ? page : Infinity),
}

test('acknowledged blocks count as the service has them, also after the process has died', async (t) => {
  const path = pathFor(t)
  const first = new SentBlocks(path, disk)
  const entries = [data(0, 1), data(pageEntriesMax - 1, 2), data(pageEntriesMax, 3), data(blocks - 1, 4), zero(5)]
  first.sending(entries)
  first.acknowledged(entries)
  first.close()
  const again = new SentBlocks(path, disk)
  t.after(() => {
    again.close()
  })
  const over = again.over(sevens)
  const wanted = [0, pageEntriesMax - 1, pageEntriesMax, blocks - 1, 5, 6, blocks - 2]
  assert.deepEqual(await Promise.all(wanted.map((block) => at(over, block))), [1, 2, 3, 4, 0, 7, 7])
})

test('a block of which nobody knows whether it arrived equals nothing, and is sent again', async (t) => {
  const sent = new SentBlocks(pathFor(t), disk)
  t.after(() => {
    sent.close()
  })
  sent.sending([data(3, 1), zero(4)])
  const over = sent.over(sevens)
  assert.deepEqual([await at(over, 3), await at(over, 4), await at(over, 5)], [unknown, unknown, 7])
})

test('an acknowledgement is for what was sent, not for what was sent since', async (t) => {
  const sent = new SentBlocks(pathFor(t), disk)
  t.after(() => {
    sent.close()
  })
  sent.sending([data(3, 1)])
  sent.sending([data(3, 2)])
  sent.acknowledged([data(3, 1)])
  assert.equal(await at(sent.over(sevens), 3), unknown)
  sent.acknowledged([data(3, 2)])
  assert.equal(await at(sent.over(sevens), 3), 2)
})

test('pages with nothing sent cost no space, and pages with something sent are not passed over', async (t) => {
  const path = pathFor(t)
  const large = { sizeBytes: 2 ** 40, blockBytes }
  const sent = new SentBlocks(path, large)
  t.after(() => {
    sent.close()
  })
  const last = large.sizeBytes / blockBytes - 1
  sent.sending([data(last, 1)])
  assert.ok(statSync(path).blocks * 512 < 1024 * 1024)
  const over = sent.over(noReference)
  assert.equal(await over.pageWithData(0), Math.floor(last / pageEntriesMax))
  assert.equal(await over.page(0), null)
})

test('a state directory that takes nothing is told as such', (t) => {
  const path = join(pathFor(t), 'below-a-file', 'disk.sent')
  assert.throws(() => new SentBlocks(path, disk), { code: 'E_STATE_UNWRITABLE' })
})
