import assert from 'node:assert/strict'
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import fc from 'fast-check'
import { SegmentSealer } from '@strata/agent/send/seal-segment.ts'
import { systemRandomBytes } from '@strata/shared/clock.ts'
import { BlockDigester, zeroDigest } from '@strata/shared/format/digest.ts'
import { decodePackTail, openDataFooter } from '@strata/shared/format/pack.ts'
import { encodeSegmentTail, type SegmentEntry, type SegmentHeader } from '@strata/shared/format/segment.ts'
import { SealingKey } from '@strata/shared/format/xaes.ts'
import { sealedPieceBytes } from '@strata/shared/limits.ts'
import { sealed } from '@strata/shared/testing/sealed-segment.ts'
import { ThreadPool } from '@strata/shared/threads/pool.ts'
import { asId, type KeyId, type SessionId } from '@strata/shared/types.ts'
import packSegment, { type SegmentAnswer, type SegmentTask } from './ingest-thread.ts'
import { packRoomBytes } from './pack-room.ts'
import { openSegmentSource } from './segment-source.ts'

const session = asId<SessionId>('a'.repeat(32))
const segment = 7
const transportKey = systemRandomBytes(32)
const as = { transportKey, session, segment }
const blockDigestKey = systemRandomBytes(32)
const indexKey = systemRandomBytes(32)
const blockBytes = 256 * 1024
/** More than the thread reads at once. */
const dataBlocks = 21
const lastBlock = 100
const lastBlockBytes = 1234

const directory = mkdtempSync(join(tmpdir(), 'strata-source-'))
const sealer = new SegmentSealer()
after(async () => {
  await sealer.close()
  rmSync(directory, { recursive: true })
})

const frames = systemRandomBytes(dataBlocks * blockBytes + lastBlockBytes)
const digester = new BlockDigester(Buffer.from(blockDigestKey))

function dataEntry(block: number, offset: number, length: number): SegmentEntry {
  return {
    state: 'data',
    block,
    digest: Uint8Array.from(digester.digest(frames.subarray(offset, offset + length))),
    offset,
    length,
  }
}

const header: SegmentHeader = {
  session,
  segment,
  disk: 0,
  blockBytes,
  entries: [
    { state: 'zero', block: 0, digest: zeroDigest },
    ...Array.from({ length: dataBlocks }, (_, index) => dataEntry(index + 1, index * blockBytes, blockBytes)),
    { state: 'base', block: 50, digest: systemRandomBytes(32) },
    dataEntry(lastBlock, dataBlocks * blockBytes, lastBlockBytes),
  ],
}

function segmentOf(changed: Partial<SegmentHeader>): Uint8Array {
  return Buffer.concat([frames, encodeSegmentTail({ ...header, ...changed }, frames.length)])
}
const plain = segmentOf({})

let files = 0
function written(bytes: Uint8Array): string {
  files += 1
  const path = join(directory, String(files))
  writeFileSync(path, bytes)
  return path
}

const keyId = asId<KeyId>('b'.repeat(32))

const packName = 'tenants/t/chains/s/c/x/data-00000000-0102030405060708'

function taskFor(segmentPath: string, key?: Uint8Array): SegmentTask {
  return {
    segmentPath,
    session,
    segment,
    ...(key === undefined ? {} : { transportKey: key }),
    disks: [{ blockBytes, sizeBytes: lastBlock * blockBytes + lastBlockBytes }],
    packName,
    dataKey: {
      keyId,
      key: new Uint8Array(32),
      wrapped: { keyId, encapsulated: new Uint8Array(32), sealed: new Uint8Array(48) },
    },
    blockDigestKey,
    indexKey,
    indexKeyGeneration: 1,
    compressionLevel: 1,
    stepsBack: false,
    room: new SharedArrayBuffer(packRoomBytes.large),
  }
}

/** What the footer of the pack says; everything in it that does not change from attempt to attempt. */
function packed(task: SegmentTask, answer: SegmentAnswer) {
  assert.ok('packBytes' in answer, JSON.stringify(answer))
  const pack = new Uint8Array(task.room, 0, answer.packBytes)
  const tail = decodePackTail(packName, pack, pack.length)
  assert.ok(typeof tail !== 'number')
  const footer = openDataFooter(packName, tail, { currentGeneration: 1, key: () => new SealingKey(indexKey) })
  return { footer, pieces: tail.pieces.map(({ offset, length }) => ({ offset, length })) }
}

function codeOf(task: SegmentTask): string {
  const answer = packSegment(task)
  assert.ok('error' in answer, 'a pack was made')
  return answer.error.code
}

const sealedCode = (bytes: Uint8Array, key = transportKey): string => codeOf(taskFor(written(bytes), key))

let sealedPath: string
let file: Uint8Array
before(async () => {
  sealedPath = written(plain)
  await sealer.seal({ path: sealedPath, ...as })
  file = readFileSync(sealedPath)
})

test('what an agent sealed becomes the same pack as the plain segment, in a thread', async (t) => {
  const pool = new ThreadPool<SegmentTask, SegmentAnswer>({
    module: new URL('./ingest-thread.ts', import.meta.url),
    threadsMax: 1,
    threadsAtOnce: 1,
    waitsInPlace: false,
  })
  t.after(() => pool.close())
  const [plainTask, sealedTask] = [taskFor(written(plain)), taskFor(sealedPath, transportKey)]
  const [fromPlain, fromSealed] = [await pool.run(plainTask), await pool.run(sealedTask)]
  assert.deepEqual(packed(sealedTask, fromSealed), packed(plainTask, fromPlain))
  assert.equal(packed(sealedTask, fromSealed).footer.entries.length, header.entries.length)
})

test('property: any range of a sealed file reads as in the plain one, in any order', () => {
  const fd = openSync(sealedPath, 'r')
  try {
    const source = openSegmentSource(fd, { segmentPath: sealedPath, ...as })
    assert.equal(source.sizeBytes, plain.length)
    const end = fc.oneof(
      fc.nat(plain.length),
      fc.constantFrom(0, 1, 2, 3, 4, 5).map((piece) => piece * sealedPieceBytes),
      fc.constant(plain.length),
    )
    fc.assert(
      fc.property(end, end, (one, other) => {
        const target = Buffer.alloc(Math.abs(one - other), 0xee)
        source.read(target, Math.min(one, other))
        assert.ok(target.equals(plain.subarray(Math.min(one, other), Math.max(one, other))))
      }),
    )
    assert.throws(
      () => {
        source.read(new Uint8Array(2), plain.length - 1)
      },
      { code: 'E_BUG' },
    )
  } finally {
    closeSync(fd)
  }
})

test('a piece that does not open is not given out, nor the one that was kept before it', () => {
  const altered = Uint8Array.from(file)
  altered[sealedPieceBytes] = (altered[sealedPieceBytes] ?? 0) ^ 1
  const path = written(altered)
  const fd = openSync(path, 'r')
  try {
    const source = openSegmentSource(fd, { segmentPath: path, ...as })
    const target = Buffer.alloc(100)
    const second = (): void => {
      source.read(target, sealedPieceBytes)
    }
    source.read(target, 0)
    assert.throws(second, { code: 'E_SEGMENT_INVALID' })
    assert.throws(second, { code: 'E_SEGMENT_INVALID' })
    source.read(target, 0)
    assert.ok(target.equals(plain.subarray(0, 100)))
  } finally {
    closeSync(fd)
  }
})

test('the task says whether a segment is sealed, whatever the bytes are', () => {
  assert.equal(sealedCode(plain), 'E_SEGMENT_INVALID')
  assert.equal(codeOf(taskFor(sealedPath)), 'E_HANDOVER_LOST')
})

test('one byte changed anywhere, or a cut, makes a sealed segment invalid', () => {
  const places = [0, 1, 2, 3, 4, 5].map((piece) => piece * sealedPieceBytes + 17)
  for (const at of [...places, plain.length - 1, plain.length, file.length - 57, file.length - 30, file.length - 1]) {
    const altered = Uint8Array.from(file)
    altered[at] = (altered[at] ?? 0) ^ 0x10
    assert.equal(sealedCode(altered), 'E_SEGMENT_INVALID', `byte ${String(at)}`)
  }
  for (const length of [0, 1, 55, 56, 57, 200, sealedPieceBytes, plain.length, file.length - 1]) {
    assert.equal(sealedCode(file.subarray(0, length)), 'E_SEGMENT_INVALID', `${String(length)} bytes`)
  }
  assert.equal(sealedCode(Buffer.concat([file, Uint8Array.of(0)])), 'E_SEGMENT_INVALID')
})

test('another key, another session or another segment is refused', () => {
  const other = asId<SessionId>('b'.repeat(32))
  assert.equal(sealedCode(file, systemRandomBytes(32)), 'E_SEGMENT_INVALID')
  assert.equal(sealedCode(sealed(plain, { ...as, session: other })), 'E_SEGMENT_INVALID')
  assert.equal(sealedCode(sealed(plain, { ...as, segment: segment + 1 })), 'E_SEGMENT_INVALID')
})

test('what is sealed well and says something else inside is refused as well', () => {
  const inside = (changed: Partial<SegmentHeader>): string => sealedCode(sealed(segmentOf(changed), as))
  assert.equal(inside({ session: asId<SessionId>('b'.repeat(32)) }), 'E_SEGMENT_INVALID')
  assert.equal(inside({ segment: segment + 1 }), 'E_SEGMENT_INVALID')
  assert.equal(inside({ disk: 1 }), 'E_LIMIT')
  assert.equal(inside({ blockBytes: 2 * blockBytes }), 'E_LIMIT')
  const lying = (index: number, entry: Partial<SegmentEntry>): string =>
    inside({ entries: header.entries.map((each, at) => (at === index ? { ...each, ...entry } : each) as SegmentEntry) })
  assert.equal(lying(header.entries.length - 1, { block: lastBlock + 1 }), 'E_LIMIT')
  assert.equal(lying(header.entries.length - 1, { block: lastBlock - 1 }), 'E_LIMIT')
  assert.equal(lying(3, { digest: systemRandomBytes(32) }), 'E_SEGMENT_INVALID')
  assert.equal(sealedCode(sealed(systemRandomBytes(3 * sealedPieceBytes), as)), 'E_SEGMENT_INVALID')
})

test('a sealed segment that is gone can be sent again', () => {
  assert.equal(codeOf(taskFor(join(directory, 'nothing'), transportKey)), 'E_HANDOVER_LOST')
  assert.equal(codeOf(taskFor(directory, transportKey)), 'E_HANDOVER_IO')
})
