import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { test } from 'node:test'
import fc from 'fast-check'
import { systemRandomBytes } from '../clock.ts'
import { hasCode } from '../errors.ts'
import { handOverFileBytesMax, sealedPieceBytes, segmentBytesMax, segmentsPerSessionMax } from '../limits.ts'
import { ascii, hexBytes, joined, patched, ramp, toHex, u32, u8 } from '../testing/layout.ts'
import { opened, sealed } from '../testing/sealed-segment.ts'
import { asId, type SessionId } from '../types.ts'
import { equalBytes } from './bytes.ts'
import {
  decodeSealedTail,
  pieceLength,
  PieceOpener,
  PieceSealer,
  sealedSegmentBytes,
  sealedTailBytesMax,
} from './sealed-segment.ts'
import { segmentTailBytesMax } from './segment.ts'
import { SealingKey } from './xaes.ts'

const MiB = 2 ** 20
const zeros = new Uint8Array(MiB)
const damaged = { code: 'E_FORMAT_DAMAGED' }
const session = asId<SessionId>(toHex(ramp(0xa0, 16)))
const transportKey = ramp(0, 32)
const as = { transportKey, session, segment: 0x010203 }
const salt = ramp(0x30, 12)
const withSalt = (): Uint8Array => salt

/** Three pieces: two whole ones and a short one. */
const lastBytes = 60
const plain = Uint8Array.from({ length: 2 * MiB + lastBytes }, (_, index) => (index * 7 + (index >> 8)) & 0xff)
const file = sealed(plain, as, withSalt)
const tailBytes = 3 * 16 + 56
const tagsAt = file.length - tailBytes
const trailerAt = file.length - 56
const head = file.slice(trailerAt, -8)

/** A trailer with a checksum that is right. */
function drawTrailer(drawnHead: Uint8Array): Uint8Array {
  return joined(drawnHead, createHash('sha256').update(drawnHead).digest().subarray(0, 8))
}

/** `file` with another head of its trailer. */
function withHead(at: number, bytes: Uint8Array): Uint8Array {
  return joined(file.subarray(0, trailerAt), drawTrailer(patched(head, at, bytes)))
}

function flipped(bytes: Uint8Array, bit: number): Uint8Array {
  return patched(bytes, bit >> 3, u8((bytes[bit >> 3] ?? 0) ^ (1 << (bit & 7))))
}

/** Which pieces open: `110` when the third one of three does not; or why not even the tail can be read. */
function outcome(bytes: Uint8Array, key = transportKey): string {
  try {
    const tail = decodeSealedTail('sealed segment', bytes, bytes.length)
    const opener = new PieceOpener(key, tail)
    let pieces = ''
    for (let index = 0; index * MiB < tail.plainBytes; index += 1) {
      const piece = bytes.slice(index * MiB, index * MiB + pieceLength(tail.plainBytes, index))
      pieces += opens(opener, index, piece) ? '1' : '0'
    }
    return pieces
  } catch (error) {
    assert.ok(hasCode(error, 'E_FORMAT_DAMAGED', 'E_FORMAT_KIND', 'E_FORMAT_NEWER'), String(error))
    return error.code
  }
}

function opens(opener: PieceOpener, index: number, piece: Uint8Array): boolean {
  try {
    opener.open(index, piece)
    return true
  } catch (error) {
    assert.ok(hasCode(error, 'E_SEAL_BROKEN'), String(error))
    assert.ok(equalBytes(piece, zeros.subarray(0, piece.length)), 'what was not authenticated is wiped')
    return false
  }
}

test('layout: ciphertext in place, tags, trailer', () => {
  const drawnHead = joined(
    joined(ascii('STRATA'), u8(1), u8(33), hexBytes(session)),
    joined(u32(0x010203), u32(plain.length), u32(MiB), salt),
  )
  const key = new SealingKey(transportKey)
  const pieces = [0, 1, 2].map((index) => {
    const nonce = joined(salt, new Uint8Array(11), u8(index))
    return key.seal(nonce, joined(drawnHead, u32(index)), plain.subarray(index * MiB, (index + 1) * MiB))
  })
  const drawn = joined(
    ...pieces.map((piece) => piece.subarray(0, -16)),
    ...pieces.map((piece) => piece.subarray(-16)),
    drawTrailer(drawnHead),
  )
  assert.ok(Buffer.from(drawn).equals(file), 'the layout changed: that is another version of the format')
  assert.equal(sealedSegmentBytes(plain.length), file.length)
})

test('a sealed segment is what an independent program makes of the words of docs/format.md', () => {
  // Computed with Python's cryptography.
  const hash = createHash('sha256').update(sealed(plain.subarray(0, MiB + 100), as, withSalt))
  assert.equal(hash.digest('hex'), '1571970bea16b7158740d17352597becfbe424ceb4edf4acdaa53c3c4bf43d1c')
})

test('limits: every segment fits, sealed as well, and the end of any of them is read at once', () => {
  const longest = segmentBytesMax + segmentTailBytesMax
  assert.deepEqual([sealedPieceBytes, longest], [MiB, 64 * MiB + 196_664])
  assert.deepEqual([sealedTailBytesMax, sealedSegmentBytes(longest)], [65 * 16 + 56, longest + 65 * 16 + 56])
  assert.ok(sealedSegmentBytes(longest) <= handOverFileBytesMax)
})

test('sealed twice, a segment is not the same bytes, and both open', () => {
  const again = sealed(plain, as)
  assert.ok(!Buffer.from(again).includes(Buffer.from(file.subarray(0, 16))))
  for (const bytes of [file, again]) assert.ok(Buffer.from(opened(bytes, transportKey)).equals(plain))
})

test('the tail is read from its own bytes alone, or behind others', () => {
  for (const bytes of [file.subarray(tagsAt), file.subarray(tagsAt - 50), file]) {
    const tail = decodeSealedTail('sealed segment', bytes, file.length)
    assert.deepEqual([tail.session, tail.segment, tail.plainBytes], [session, 0x010203, plain.length])
    assert.deepEqual([toHex(tail.salt), toHex(tail.tags)], [toHex(salt), toHex(file.subarray(tagsAt, trailerAt))])
  }
})

test('property: every length comes back, its pieces opened in any order', () => {
  const length = fc.oneof(
    fc.integer({ min: 56, max: 400 }),
    fc.integer({ min: MiB - 2, max: MiB + 2 }),
    fc.integer({ min: 3 * MiB - 2, max: 3 * MiB + 2 }),
  )
  const order = fc.shuffledSubarray([0, 1, 2, 3], { minLength: 4 })
  fc.assert(
    fc.property(length, order, fc.nat(segmentsPerSessionMax - 1), (plainBytes, indexes, segment) => {
      const bytes = systemRandomBytes(plainBytes)
      const whole = sealed(bytes, { ...as, segment })
      assert.equal(whole.length, sealedSegmentBytes(plainBytes))
      const opener = new PieceOpener(transportKey, decodeSealedTail('sealed segment', whole, whole.length))
      for (const index of indexes.filter((each) => each * MiB < plainBytes)) {
        const piece = whole.slice(index * MiB, index * MiB + pieceLength(plainBytes, index))
        opener.open(index, piece)
        assert.ok(Buffer.from(piece).equals(bytes.subarray(index * MiB, (index + 1) * MiB)))
      }
    }),
    { numRuns: 60 },
  )
})

test('every flipped bit of tags and trailer is found', () => {
  for (let bit = tagsAt * 8; bit < file.length * 8; bit += 1) {
    const found = outcome(flipped(file, bit))
    if (bit < trailerAt * 8) assert.equal(found, ['011', '101', '110'][(bit - tagsAt * 8) >> 7])
    else assert.match(found, /^E_FORMAT_/)
  }
})

test('every flipped bit of the trailer is found by every piece, when its checksum was made right', () => {
  let opening = 0
  for (let bit = 0; bit < head.length * 8; bit += 1) {
    const found = outcome(joined(file.subarray(0, trailerAt), drawTrailer(flipped(head, bit))))
    assert.match(found, /^(000|E_FORMAT_.*)$/)
    if (found === '000') opening += 1
  }
  // Those of the session, the salt, and the low bits of the number are refused by nothing else.
  assert.equal(opening, 128 + 96 + 22)
})

test('every flipped bit of the ciphertext is found by its piece', () => {
  for (let bit = 2 * MiB * 8; bit < (2 * MiB + lastBytes) * 8; bit += 1) {
    assert.equal(outcome(flipped(file, bit)), '110')
  }
  fc.assert(
    fc.property(fc.nat(2 * MiB * 8 - 1), (bit) => {
      assert.equal(outcome(flipped(file, bit)), bit < MiB * 8 ? '011' : '101')
    }),
  )
})

test('a file that was cut or extended at either end is damaged, before anything is opened', () => {
  const lengths = [...Array.from({ length: tailBytes + lastBytes + 20 }, (_, index) => index + 1), MiB, 2 * MiB]
  for (const length of lengths) {
    for (const bytes of [
      file.subarray(0, -length),
      file.subarray(length),
      file.subarray(0, length),
      joined(file, file.subarray(0, length)),
      joined(file.subarray(0, length), file),
    ]) {
      assert.throws(
        () => decodeSealedTail('sealed segment', bytes.subarray(-sealedTailBytesMax), bytes.length),
        damaged,
      )
    }
  }
})

test('a file that was cut with care, its length and checksum made right, opens nowhere', () => {
  const [first, second, third] = [0, 1, 2].map((index) =>
    file.subarray(index * MiB, Math.min((index + 1) * MiB, tagsAt)),
  )
  const tags = [0, 1, 2].map((index) => file.subarray(tagsAt + 16 * index, tagsAt + 16 * (index + 1)))
  assert.ok(first && second && third)
  const forge = (ciphertext: readonly Uint8Array[], keptTags: readonly Uint8Array[]): string => {
    const bytes = ciphertext.reduce((sum, { length }) => sum + length, 0)
    return outcome(joined(...ciphertext, ...keptTags, drawTrailer(patched(head, 28, u32(bytes)))))
  }
  assert.equal(forge([first, second, third], tags), '111', 'forging changes nothing by itself')
  assert.equal(forge([first, second], tags.slice(0, 2)), '00')
  assert.equal(forge([first, third], tags.slice(0, 2)), '00')
  assert.equal(forge([first], tags.slice(0, 1)), '0')
  assert.equal(forge([second, third], tags.slice(1)), '00')
  assert.equal(forge([first, second, third, u8(0)], tags), '000')
  assert.equal(forge([first, second, second, third], [...tags.slice(0, 2), ...tags.slice(1)]), '0000')
  for (let cut = 1; cut <= lastBytes - 56; cut += 1) {
    assert.equal(forge([first, second, third.subarray(0, -cut)], tags), '000')
  }
})

test('pieces do not open in the place of others', () => {
  const swappedCiphertext = joined(file.subarray(MiB, 2 * MiB), file.subarray(0, MiB), file.subarray(2 * MiB))
  assert.equal(outcome(swappedCiphertext), '001')
  const swapTags = (bytes: Uint8Array): Uint8Array =>
    patched(
      patched(bytes, tagsAt, bytes.subarray(tagsAt + 16, tagsAt + 32)),
      tagsAt + 16,
      bytes.subarray(tagsAt, tagsAt + 16),
    )
  assert.equal(outcome(swapTags(file)), '001')
  assert.equal(outcome(swapTags(swappedCiphertext)), '001')
})

test('pieces do not open in another segment or session, under another salt or key, were all else the same', () => {
  const otherSession = asId<SessionId>(toHex(ramp(0xb0, 16)))
  const others = {
    segment: sealed(plain, { ...as, segment: 0x010204 }, withSalt),
    session: sealed(plain, { ...as, session: otherSession }, withSalt),
    salt: sealed(plain, as, () => ramp(0x31, 12)),
    key: sealed(plain, { ...as, transportKey: ramp(1, 32) }, withSalt),
  }
  for (const [what, other] of Object.entries(others)) {
    for (const index of [0, 1]) {
      const tagAt = tagsAt + 16 * index
      const piece = other.subarray(index * MiB, (index + 1) * MiB)
      const exchanged = patched(patched(file, index * MiB, piece), tagAt, other.subarray(tagAt, tagAt + 16))
      assert.equal(outcome(exchanged), index === 0 ? '011' : '101', what)
    }
    const trailer = joined(file.subarray(0, trailerAt), other.subarray(trailerAt))
    assert.equal(outcome(trailer), what === 'key' ? '111' : '000', what)
  }
  assert.equal(outcome(file, ramp(1, 32)), '000')
  assert.equal(outcome(others.key, ramp(1, 32)), '111')
})

const malformed: Readonly<Record<string, Uint8Array>> = {
  'is empty': new Uint8Array(0),
  'is shorter than its trailer': file.subarray(-55),
  'begins otherwise': withHead(0, ascii('s')),
  'is of version 0': withHead(6, u8(0)),
  'has a number that no session has': withHead(24, u32(segmentsPerSessionMax)),
  'has the largest number there is': withHead(24, u32(2 ** 32 - 1)),
  'says that it holds nothing': withHead(28, u32(0)),
  'says that it holds more than a segment can': withHead(28, u32(segmentBytesMax + segmentTailBytesMax + 1)),
  'says that it holds as much as it can say': withHead(28, u32(2 ** 32 - 1)),
  'says one byte less': withHead(28, u32(plain.length - 1)),
  'says one byte more': withHead(28, u32(plain.length + 1)),
  'has pieces of no bytes': withHead(32, u32(0)),
  'has smaller pieces': withHead(32, u32(MiB / 2)),
  'has larger pieces': withHead(32, u32(2 * MiB)),
  'has a wrong checksum': flipped(file, file.length * 8 - 1),
}
for (const [what, bytes] of Object.entries(malformed)) {
  test(`a sealed segment that ${what} is damaged`, () => {
    assert.throws(() => decodeSealedTail('sealed segment', bytes, bytes.length), damaged)
  })
}

test('no sealed segment is so short that it has no piece, whatever it says', () => {
  for (const length of [0, 1, 55]) {
    const tags = new Uint8Array(16 * Math.ceil(length / MiB))
    const bytes = joined(new Uint8Array(length), tags, drawTrailer(patched(head, 28, u32(length))))
    assert.throws(() => decodeSealedTail('sealed segment', bytes, bytes.length), damaged)
  }
})

test('a sealed segment of a version to come is newer, and a plain segment is no sealed one', () => {
  const newer = withHead(6, u8(2))
  assert.throws(() => decodeSealedTail('sealed segment', newer, newer.length), { code: 'E_FORMAT_NEWER' })
  const plainKind = withHead(7, u8(32))
  assert.throws(() => decodeSealedTail('sealed segment', plainKind, plainKind.length), { code: 'E_FORMAT_KIND' })
})

test('a writer that gets it wrong fails on the spot', () => {
  const bug = { code: 'E_BUG' }
  const sealer = (plainBytes: number): PieceSealer =>
    new PieceSealer(transportKey, { session, segment: 0, plainBytes }, systemRandomBytes)
  assert.throws(() => sealer(55), bug)
  assert.throws(() => sealer(segmentBytesMax + segmentTailBytesMax + 1), bug)
  assert.throws(() => {
    sealer(100).seal(new Uint8Array(99))
  }, bug)
  const tooMany = sealer(100)
  tooMany.seal(new Uint8Array(100))
  assert.throws(() => {
    tooMany.seal(new Uint8Array(100))
  }, bug)
  assert.throws(() => sealer(100).finish(), bug)
  const noSuchNumber = new PieceSealer(
    transportKey,
    { session, segment: segmentsPerSessionMax, plainBytes: 56 },
    systemRandomBytes,
  )
  noSuchNumber.seal(new Uint8Array(56))
  assert.throws(() => noSuchNumber.finish(), damaged)
})
