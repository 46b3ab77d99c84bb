import assert from 'node:assert/strict'
import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { blockDigest, zeroDigest } from '@strata/shared/format/digest.ts'
import { decodePackTail, openDataFooter } from '@strata/shared/format/pack.ts'
import { encodeSegmentTail, type SegmentEntry } from '@strata/shared/format/segment.ts'
import { SealingKey } from '@strata/shared/format/xaes.ts'
import { blockBytesMin } from '@strata/shared/limits.ts'
import { asId, type KeyId, type SessionId } from '@strata/shared/types.ts'
import packSegment, { type SegmentTask } from './ingest-thread.ts'

const keyId = asId<KeyId>('b'.repeat(32))
const blockDigestKey = Buffer.alloc(32, 3)

function taskFor(segmentPath: string, roomBytes = 0): SegmentTask {
  return {
    segmentPath,
    session: 'a'.repeat(32),
    segment: 0,
    disks: [{ blockBytes: blockBytesMin, sizeBytes: blockBytesMin }],
    packName: 'tenants/t/chains/s/c/x/data-00000000-0102030405060708',
    dataKey: {
      keyId,
      key: new Uint8Array(32),
      wrapped: { keyId, encapsulated: new Uint8Array(32).fill(1), sealed: new Uint8Array(48).fill(2) },
    },
    blockDigestKey,
    indexKey: new Uint8Array(32),
    indexKeyGeneration: 1,
    compressionLevel: 1,
    stepsBack: false,
    room: new SharedArrayBuffer(roomBytes),
  }
}

function codeFor(segmentPath: string): string {
  const { error } = packSegment(taskFor(segmentPath)) as { error: { code: string } }
  return error.code
}

test('a segment that is gone can be sent again; one that cannot be read cannot, and is no bug', async (t: TestContext) => {
  const directory = await mkdtemp(join(tmpdir(), 'strata-ingest-'))
  t.after(() => rm(directory, { recursive: true }))
  const path = (name: string): string => join(directory, name)
  await symlink(path('circle'), path('circle'))
  await mkdir(path('directory'))
  assert.equal(codeFor(path('nothing')), 'E_HANDOVER_LOST')
  assert.equal(codeFor(path('circle')), 'E_HANDOVER_IO')
  assert.equal(codeFor(path('directory')), 'E_HANDOVER_IO')
})

test('the pack has the data key, sealed, when it has records, and none when it has none', async (t: TestContext) => {
  const directory = await mkdtemp(join(tmpdir(), 'strata-ingest-'))
  t.after(() => rm(directory, { recursive: true }))
  const frame = Buffer.alloc(blockBytesMin, 'a block')
  const data: SegmentEntry = {
    state: 'data',
    block: 0,
    digest: blockDigest(blockDigestKey, frame),
    offset: 0,
    length: frame.length,
  }
  const zero: SegmentEntry = { state: 'zero', block: 0, digest: zeroDigest }
  for (const { entry, frames } of [
    { entry: data, frames: frame },
    { entry: zero, frames: Buffer.alloc(0) },
  ]) {
    const task = taskFor(join(directory, entry.state), 2 * blockBytesMin)
    const header = { session: asId<SessionId>(task.session), segment: task.segment, disk: 0, blockBytes: blockBytesMin }
    const tail = encodeSegmentTail({ ...header, entries: [entry] }, frames.length)
    await writeFile(task.segmentPath, Buffer.concat([frames, tail]))
    const answer = packSegment(task)
    assert.ok('packBytes' in answer)
    const pack = new Uint8Array(task.room, 0, answer.packBytes)
    const end = decodePackTail(task.packName, pack, pack.length)
    assert.ok(typeof end !== 'number')
    const key = new SealingKey(task.indexKey)
    const footer = openDataFooter(task.packName, end, { currentGeneration: 1, key: () => key })
    assert.deepEqual(footer.dataKeys, entry === data ? [task.dataKey.wrapped] : [])
  }
})
