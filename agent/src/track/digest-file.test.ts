import assert from 'node:assert/strict'
import fc from 'fast-check'
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, suite, test } from 'node:test'
import { StrataError } from '@strata/shared/errors.ts'
import { asId, type ChainId } from '@strata/shared/types.ts'
import { decodeDigestFileHeader, diskMark, headerBytes } from './digest-file.ts'
import { DigestFile, readDigestFileHeader } from './digest-file-reader.ts'
import { DigestFileWriter } from './digest-file-writer.ts'

const block = 65536
const folder = mkdtempSync(join(tmpdir(), 'strata-digests-'))
after(() => {
  rmSync(folder, { recursive: true })
})

const head = {
  blockBytes: block,
  chain: asId<ChainId>('0123456789abcdef0123456789abcdef'),
  sequence: 9_999_999_999,
  manifestDigest: 'ab'.repeat(32),
  diskMark: diskMark('d', { gpt: 'x' }),
}

/** Writes `blocks` digests in pieces: a piece of fill 0 is pushed as zeros or as zero digests, in turn. */
function written(pieces: readonly (readonly [number, number])[]): { path: string; digests: Buffer } {
  const path = join(folder, 'd.digests')
  const digests = Buffer.concat(pieces.map(([count, fill]) => Buffer.alloc(count * 32, fill)))
  const sizeBytes = (digests.length / 32) * block
  const writer = new DigestFileWriter(`${path}.new`, sizeBytes, block)
  pieces.forEach(([count, fill], index) => {
    if (fill === 0 && index % 2 === 0) writer.pushZeros(count)
    else writer.push(Buffer.alloc(count * 32, fill))
  })
  assertPages(writer.pages(), digests)
  writer.publish(path, { ...head, sizeBytes })
  return { path, digests }
}

function assertPages(
  pages: { page(page: number): Uint8Array | null; pageWithData(page: number): number },
  digests: Buffer,
): void {
  const pageBytes = 1024 * 32
  for (let page = 0; page * pageBytes < digests.length + pageBytes; page += 1) {
    const expected = digests.subarray(page * pageBytes, (page + 1) * pageBytes)
    const zero = expected.every((byte) => byte === 0)
    assert.equal(pages.page(page) === null, zero)
    if (!zero) assert.ok(expected.equals(pages.page(page) ?? Buffer.alloc(0)))
    assert.equal(pages.pageWithData(page) === page, !zero)
  }
}

suite('the digest file', () => {
  test('gives back what was put in, whatever the pieces', () => {
    const piece = fc.tuple(fc.integer({ min: 1, max: 1500 }), fc.nat(2))
    fc.assert(
      fc.property(fc.array(piece, { minLength: 1, maxLength: 6 }), (pieces) => {
        const { path, digests } = written(pieces)
        const file = new DigestFile(path)
        assert.equal(file.header.manifestDigest, head.manifestDigest)
        assert.equal(file.header.sequence, head.sequence)
        assert.deepEqual(readDigestFileHeader(path), file.header)
        assertPages(file.pages, digests)
        file.close()
      }),
      { numRuns: 60 },
    )
  })

  test('a terabyte of holes takes next to no space', () => {
    const path = join(folder, 'large.digests')
    const writer = new DigestFileWriter(`${path}.new`, 2 ** 40, 262144)
    writer.pushZeros(2 ** 22)
    writer.publish(path, { ...head, blockBytes: 262144, sizeBytes: 2 ** 40 })
    assert.ok(statSync(path).blocks * 512 < 256 * 1024)
    const file = new DigestFile(path)
    assert.equal(file.pages.pageWithData(0), Infinity)
    file.close()
  })

  test('any damaged byte is noticed, at opening or at its page', () => {
    const { path, digests } = written([
      [1030, 1],
      [1000, 0],
      [1100, 2],
    ])
    const good = readFileSync(path)
    fc.assert(
      fc.property(fc.nat(good.length - 1), fc.integer({ min: 1, max: 255 }), (at, change) => {
        // What lies between header and first page says nothing, and neither do pages of zeros.
        fc.pre(at < headerBytes || at >= 4096)
        const bad = Buffer.from(good)
        bad[at] = (bad[at] ?? 0) ^ change
        writeFileSync(path, bad)
        try {
          const file = new DigestFile(path)
          try {
            assertPages(file.pages, digests)
            assert.fail('damage went unnoticed')
          } finally {
            file.close()
          }
        } catch (error) {
          assert.ok(
            error instanceof StrataError &&
              ['E_FORMAT_DAMAGED', 'E_FORMAT_NEWER', 'E_FORMAT_KIND'].includes(error.code),
            String(error),
          )
        }
      }),
      { numRuns: 300 },
    )
  })

  test('a header of nonsense is a named error', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
        assert.throws(
          () => decodeDigestFileHeader('a file', bytes),
          (error) => error instanceof StrataError && error.code === 'E_FORMAT_DAMAGED',
        )
      }),
    )
  })

  test('an incomplete file is not published', () => {
    const path = join(folder, 'short.digests')
    const writer = new DigestFileWriter(path, 10 * block, block)
    writer.pushZeros(9)
    assert.throws(
      () => {
        writer.publish(join(folder, 'never'), { ...head, sizeBytes: 10 * block })
      },
      (error) => error instanceof StrataError && error.code === 'E_BUG',
    )
    writer.remove()
  })
})
