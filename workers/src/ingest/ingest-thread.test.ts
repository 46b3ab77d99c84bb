import assert from 'node:assert/strict'
import { mkdir, mkdtemp, rm, symlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { blockBytesMin } from '@strata/shared/limits.ts'
import packSegment, { type SegmentTask } from './ingest-thread.ts'

function taskFor(segmentPath: string): SegmentTask {
  return {
    segmentPath,
    session: 'a'.repeat(32),
    segment: 0,
    disks: [{ blockBytes: blockBytesMin, sizeBytes: blockBytesMin }],
    packName: 'pack',
    dataKeyId: 'b'.repeat(32),
    dataKey: new Uint8Array(32),
    blockDigestKey: new Uint8Array(32),
    indexKey: new Uint8Array(32),
    indexKeyGeneration: 1,
    compressionLevel: 1,
    room: new SharedArrayBuffer(0),
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
