import assert from 'node:assert/strict'
import { closeSync, openSync, readFileSync, rmSync, mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { zstdCompressSync } from 'node:zlib'
import { concatBytes } from '@strata/shared/format/bytes.ts'
import { blockDigest } from '@strata/shared/format/digest.ts'
import {
  codecStored,
  codecZstd,
  keyIdToBytes,
  recordAad,
  recordHeaderBytes,
  writeRecordHeader,
} from '@strata/shared/format/record.ts'
import { nonceBytes, SealingKey } from '@strata/shared/format/xaes.ts'
import { asId, type KeyId } from '@strata/shared/types.ts'
import type { ReadTask } from './read-task.ts'
import { readRecords, writeZeros } from './read-thread.ts'

const blockBytes = 64 * 1024
const keyId = asId<KeyId>('0123456789abcdef0123456789abcdef')
const dataKey = new Uint8Array(32).fill(7)
const blockDigestKey = Buffer.alloc(32, 9)

interface Crafted {
  readonly record: Uint8Array
  readonly digest: Uint8Array
}

let nonces = 0

/** A record that opens, whatever is in it: only who holds the data key can make one. */
function craft(content: Uint8Array, codec: number, plainBytes: number, digest: Uint8Array): Crafted {
  const head = new Uint8Array(recordHeaderBytes)
  const nonce = new Uint8Array(nonceBytes)
  nonce[0] = nonces += 1
  writeRecordHeader(head, 0, { codec, plainBytes, keyIdBytes: keyIdToBytes(keyId), nonce })
  const sealed = new SealingKey(dataKey).seal(nonce, recordAad(head, digest), content)
  return { record: concatBytes([head, sealed]), digest }
}

function recordOf(block: Uint8Array): Crafted {
  return craft(zstdCompressSync(block), codecZstd, block.length, blockDigest(blockDigestKey, block))
}

function taskOf(crafted: readonly Crafted[], options: Partial<ReadTask> = {}): ReadTask {
  let at = 0
  const offsets = crafted.map(({ record }) => (at += record.length) - record.length)
  return {
    range: concatBytes(crafted.map(({ record }) => record)),
    blocks: Uint32Array.from(crafted.keys()),
    offsets: Uint32Array.from(offsets),
    lengths: Uint32Array.from(crafted, ({ record }) => record.length),
    digests: concatBytes(crafted.map(({ digest }) => digest)),
    blockBytes,
    diskBytes: crafted.length * blockBytes,
    blockDigestKey,
    dataKeys: [{ keyId, key: dataKey }],
    target: null,
    ...options,
  }
}

function blockOf(fill: number): Uint8Array {
  return new Uint8Array(blockBytes).fill(fill)
}

function withFile(work: (path: string, fd: number) => void): void {
  const directory = mkdtempSync(join(tmpdir(), 'strata-test-'))
  const path = join(directory, 'target')
  const fd = openSync(path, 'w+')
  try {
    work(path, fd)
  } finally {
    closeSync(fd)
    rmSync(directory, { recursive: true })
  }
}

test('good records are checked and written where they belong, up to the end of the target', () => {
  withFile((path, fd) => {
    const crafted = [1, 2, 3].map((fill) => recordOf(blockOf(fill)))
    const sizeBytes = 2.5 * blockBytes
    const answer = readRecords(taskOf(crafted, { target: { fd, sizeBytes } }))
    assert.deepEqual(answer, {
      checkedBlocks: 3,
      checkedBytes: 3 * blockBytes,
      writtenBytes: sizeBytes,
      damaged: [],
      writeFailure: null,
    })
    const expected = concatBytes([1, 2, 3].map(blockOf)).subarray(0, sizeBytes)
    assert.ok(readFileSync(path).equals(expected))
  })
})

test('the memory of the range is given back', () => {
  const task = taskOf([recordOf(blockOf(1))])
  readRecords(task)
  assert.equal(task.range.buffer.detached, true)
})

test('every kind of bad record is told, hides no other, and none of its bytes reach the target', () => {
  const block = blockOf(5)
  const digest = blockDigest(blockDigestKey, block)
  const other = blockOf(6)
  const bad: [string, Crafted, string][] = [
    [
      'another block than its digest says',
      craft(zstdCompressSync(other), codecZstd, blockBytes, digest),
      'E_DIGEST_MISMATCH',
    ],
    ['another block, not compressed', craft(other, codecStored, blockBytes, digest), 'E_DIGEST_MISMATCH'],
    ['what does not decompress', craft(Buffer.from('no zstd'), codecZstd, blockBytes, digest), 'E_FORMAT_DAMAGED'],
    [
      'a block that is too short',
      craft(zstdCompressSync(block.subarray(1)), codecZstd, blockBytes, digest),
      'E_FORMAT_DAMAGED',
    ],
    [
      'more than it says',
      craft(zstdCompressSync(new Uint8Array(64 * blockBytes)), codecZstd, blockBytes, digest),
      'E_FORMAT_DAMAGED',
    ],
    [
      "another length than the block's",
      craft(block.subarray(1), codecStored, blockBytes - 1, digest),
      'E_FORMAT_DAMAGED',
    ],
    ['not even a header', { record: new Uint8Array(10), digest }, 'E_FORMAT_DAMAGED'],
  ]
  for (const [what, crafted, code] of bad) {
    withFile((path, fd) => {
      const task = taskOf([recordOf(blockOf(1)), crafted, recordOf(blockOf(3))], {
        target: { fd, sizeBytes: 3 * blockBytes },
      })
      const answer = readRecords(task)
      assert.deepEqual(
        answer.damaged.map((record) => [record.index, record.code]),
        [[1, code]],
        what,
      )
      assert.equal(answer.checkedBlocks, 2)
      assert.ok(readFileSync(path).equals(concatBytes([blockOf(1), blockOf(0), blockOf(3)])), what)
    })
  }
})

test('a record of a key that the point does not have is lost', () => {
  const answer = readRecords(taskOf([recordOf(blockOf(1))], { dataKeys: [] }))
  assert.deepEqual(
    answer.damaged.map(({ code }) => code),
    ['E_SEAL_BROKEN'],
  )
})

test("a target that cannot be written to is told with the system's code and the place", () => {
  withFile((path) => {
    const fd = openSync(path, 'r')
    try {
      const answer = readRecords(taskOf([recordOf(blockOf(1))], { target: { fd, sizeBytes: blockBytes } }))
      assert.deepEqual(answer.writeFailure, { system: 'EBADF', offset: 0 })
      assert.equal(answer.writtenBytes, 0)
    } finally {
      closeSync(fd)
    }
  })
})

test('zeros are written only where there are none', () => {
  withFile((path, fd) => {
    const before = concatBytes([blockOf(1), blockOf(0), blockOf(2), blockOf(3)])
    writeFileSync(path, before)
    const ranges = Float64Array.of(0, 2 * blockBytes, 3 * blockBytes, blockBytes)
    const answer = writeZeros({ fd, ranges })
    assert.equal(answer.writeFailure, null)
    assert.ok(readFileSync(path).equals(concatBytes([blockOf(0), blockOf(0), blockOf(2), blockOf(0)])))
    assert.equal(writeZeros({ fd, ranges }).writtenBytes, 0)
  })
})
