import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { systemRandomBytes } from '@strata/shared/clock.ts'
import { digestBytes } from '@strata/shared/format/digest.ts'
import { encodeSegmentTail } from '@strata/shared/format/segment.ts'
import { sealedPieceBytes } from '@strata/shared/limits.ts'
import { opened } from '@strata/shared/testing/sealed-segment.ts'
import { asId, type SessionId } from '@strata/shared/types.ts'
import { SegmentSealer } from './seal-segment.ts'

const session = asId<SessionId>('5'.repeat(32))
const transportKey = systemRandomBytes(32)
const blockBytes = 65_536

interface Bench {
  readonly sealer: SegmentSealer
  readonly path: (name: string) => string
}

function bench(t: TestContext): Bench {
  const directory = mkdtempSync(join(tmpdir(), 'strata-seal-'))
  const sealer = new SegmentSealer()
  t.after(async () => {
    await sealer.close()
    rmSync(directory, { recursive: true })
  })
  return { sealer, path: (name) => join(directory, name) }
}

/** A whole plain segment with so many bytes of frames; its end never falls on that of a piece. */
function plainSegment(framesBytes: number): Buffer {
  const entries = Array.from({ length: Math.ceil(framesBytes / blockBytes) }, (_, block) => {
    const offset = block * blockBytes
    const length = Math.min(blockBytes, framesBytes - offset)
    return { state: 'data', block, digest: systemRandomBytes(digestBytes), offset, length } as const
  })
  const tail = encodeSegmentTail({ session, segment: 3, disk: 0, blockBytes, entries }, framesBytes)
  return Buffer.concat([systemRandomBytes(framesBytes), tail])
}

const task = (path: string) => ({ path, session, segment: 3, transportKey })

for (const framesBytes of [0, 1, sealedPieceBytes - 100, sealedPieceBytes, 3 * sealedPieceBytes + blockBytes + 5]) {
  test(`a segment of ${String(framesBytes)} bytes of frames is sealed in place, and its file described`, async (t) => {
    const { sealer, path } = bench(t)
    const plain = plainSegment(framesBytes)
    writeFileSync(path('segment'), plain)
    const { sizeBytes, sha256 } = await sealer.seal(task(path('segment')))
    const file = readFileSync(path('segment'))
    assert.equal(file.length, sizeBytes)
    assert.deepEqual(Buffer.from(sha256), createHash('sha256').update(file).digest())
    assert.ok(Buffer.from(opened(file, transportKey)).equals(plain))
  })
}

test('two sealings of the same segment have no bytes in common', async (t) => {
  const { sealer, path } = bench(t)
  const plain = plainSegment(sealedPieceBytes)
  for (const name of ['a', 'b']) writeFileSync(path(name), plain)
  const [a, b] = await Promise.all([sealer.seal(task(path('a'))), sealer.seal(task(path('b')))])
  assert.notDeepEqual(a.sha256, b.sha256)
  const [first, second] = [readFileSync(path('a')), readFileSync(path('b'))]
  assert.ok(!second.includes(first.subarray(0, 16)))
  assert.ok(!first.includes(plain.subarray(0, 16)) && !first.includes(plain.subarray(-56)))
})

test('a segment is sealed once, and a file that is no whole segment not at all: nothing of it is changed', async (t) => {
  const { sealer, path } = bench(t)
  writeFileSync(path('segment'), plainSegment(100))
  await sealer.seal(task(path('segment')))
  writeFileSync(path('cut'), plainSegment(100).subarray(0, -1))
  writeFileSync(path('empty'), '')
  for (const [name, code] of [
    ['segment', 'E_BUG'],
    ['cut', 'E_FORMAT_DAMAGED'],
    ['empty', 'E_BUG'],
  ] as const) {
    const before = readFileSync(path(name))
    await assert.rejects(sealer.seal(task(path(name))), { code })
    assert.deepEqual(readFileSync(path(name)), before)
  }
})

test('a file that is gone or cannot be written is said to be so, and the next one is sealed', async (t) => {
  const { sealer, path } = bench(t)
  mkdirSync(path('directory'))
  await assert.rejects(sealer.seal(task(path('nothing'))), { code: 'E_HANDOVER_SPACE', message: /nothing: ENOENT/ })
  await assert.rejects(sealer.seal(task(path('directory'))), { code: 'E_HANDOVER_SPACE', message: /EISDIR/ })
  writeFileSync(path('segment'), plainSegment(100))
  await sealer.seal(task(path('segment')))
})
