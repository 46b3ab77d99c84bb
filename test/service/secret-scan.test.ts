import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test } from 'node:test'
import { SecretScan } from './secret-scan.ts'

/** A scan that finds nothing is worth as much as its ability to find something. */

const digest = randomBytes(32)
const marker = 'a text of a customer, 7391'

function scan(): SecretScan {
  const made = new SecretScan()
  for (let number = 0; number < 1000; number += 1) made.addBytes(`digest ${String(number)}`, randomBytes(32))
  made.addBytes('the digest', digest)
  made.addText('the marker', marker)
  return made
}

const planted: Readonly<Record<string, Uint8Array>> = {
  'the digest raw': digest,
  'the digest hex': Buffer.from(digest.toString('hex')),
  'the digest in capital hex': Buffer.from(digest.toString('hex').toUpperCase()),
  'the marker UTF-8': Buffer.from(marker),
  'the marker UTF-16': Buffer.from(marker, 'utf16le'),
  'the marker in JSON': Buffer.from(JSON.stringify({ name: marker })),
  'the marker in base64': Buffer.from(Buffer.from(marker).toString('base64')),
}

for (const [what, bytes] of Object.entries(planted)) {
  test(`it finds ${what}, at the beginning, in the middle and at the end`, () => {
    const looking = scan()
    const secret = what.includes('digest') ? 'the digest' : 'the marker'
    for (const [before, after] of [
      [0, 5000],
      [4099, 5000],
      [4099, 0],
    ] as const) {
      const place = Buffer.concat([randomBytes(before), bytes, randomBytes(after)])
      const findings = looking.look('place', place)
      assert.deepEqual(
        findings.map((finding) => finding.what),
        [secret],
      )
      assert.ok(!JSON.stringify(findings).includes(Buffer.from(bytes).toString()))
    }
  })
}

test('it finds a digest within a text in base64, wherever it begins, in both alphabets', () => {
  const looking = scan()
  for (const before of [0, 1, 2, 3, 4, 5]) {
    const bytes = Buffer.concat([randomBytes(before), digest, randomBytes(7)])
    for (const encoding of ['base64', 'base64url'] as const) {
      assert.equal(
        looking.look('place', Buffer.from(bytes.toString(encoding))).length,
        1,
        `${encoding}, ${String(before)}`,
      )
    }
  }
})

test('it finds nothing where nothing is, not even nearly the secret', () => {
  const looking = scan()
  const nearly = Buffer.from(digest)
  nearly.writeUInt8(nearly.readUInt8(31) ^ 1, 31)
  const place = Buffer.concat([randomBytes(4 * 1024 * 1024), nearly, digest.subarray(0, 31)])
  assert.deepEqual(looking.look('place', place), [])
  assert.equal(looking.lookedBytes, place.length)
  assert.equal(looking.secrets, 1002)
})

test('what is too short to be told from chance is refused', () => {
  assert.throws(() => {
    scan().addText('a short name', 'web1')
  }, /too short/)
})
