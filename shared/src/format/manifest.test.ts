import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { test } from 'node:test'
import { disksPerSetMax, nameCharsMax } from '../limits.ts'
import { ramp } from '../testing/layout.ts'
import { testIndexKeys } from '../testing/test-repository.ts'
import { decodeDocument, encodeDocument, parseDocument } from './document.ts'
import { manifestDigest, manifestType, type Manifest } from './manifest.ts'

const id = (digit: string): string => digit.repeat(32)
const digest = (digit: string): string => digit.repeat(64)

const manifest: Manifest = {
  strata: 'manifest',
  version: 1,
  point: id('1'),
  setName: 'B\u00fcro',
  chain: id('2'),
  sequence: 7,
  kind: 'incremental',
  base: { point: id('3'), sequence: 6, manifestDigest: digest('4') },
  full: { point: id('7'), sequence: 2, manifestDigest: digest('8') },
  previous: digest('4'),
  createdAt: '2026-01-02T03:04:05.678Z',
  capturedAt: '2026-01-02T03:00:00.000Z',
  consistency: 'unchanged',
  machine: { hostName: 'h', system: 's', architecture: 'a' },
  disks: [
    {
      name: 'd',
      sizeBytes: 1,
      blockBytes: 65_536,
      identity: { gpt: 'g', filesystem: 'ext4:1' },
      contentRoot: digest('5'),
    },
  ],
  root: { session: id('6'), number: 0, attempt: '0123456789abcdef', offset: 1, length: 2 },
  statistics: { scannedBytes: 1, changedBytes: 2, storedBytes: 3, segments: 4 },
  warnings: [{ code: 'W_X', message: 'm' }],
}

const parse = (content: unknown): Manifest =>
  parseDocument(manifestType, 'manifest', Buffer.from(JSON.stringify(content)))

test('a manifest is read as it was written, and its text is the one that docs/format.md describes', () => {
  const name = 'tenants/t/points/s/0000000007'
  const bytes = encodeDocument(manifestType, name, manifest, testIndexKeys(), ramp(0, 24))
  assert.deepEqual(decodeDocument(manifestType, name, bytes, testIndexKeys()), manifest)
  assert.equal(manifestDigest(bytes), createHash('sha256').update(bytes).digest('hex'))
  assert.deepEqual(Object.keys(parse(manifest)), [
    ...['strata', 'version', 'point', 'setName', 'chain', 'sequence', 'kind', 'base', 'full', 'previous', 'createdAt'],
    ...['capturedAt', 'consistency', 'machine', 'disks', 'root', 'statistics', 'warnings'],
  ])
})

test('the first point of a set has neither base nor predecessor', () => {
  assert.equal(parse({ ...manifest, sequence: 1, kind: 'full', base: null, full: null, previous: null }).base, null)
})

const [disk] = manifest.disks
const wrong: Readonly<Record<string, unknown>> = {
  'without a disk': { ...manifest, disks: [] },
  'with too many disks': { ...manifest, disks: Array.from({ length: disksPerSetMax + 1 }, () => disk) },
  'with an empty disk': { ...manifest, disks: [{ ...disk, sizeBytes: 0 }] },
  'with a disk without a content root': { ...manifest, disks: [{ ...disk, contentRoot: undefined }] },
  'with a disk without a name': { ...manifest, disks: [{ ...disk, name: '' }] },
  'with blocks that are too small': { ...manifest, disks: [{ ...disk, blockBytes: 32_768 }] },
  'with blocks that are too large': { ...manifest, disks: [{ ...disk, blockBytes: 8_388_608 }] },
  'with the number 0': { ...manifest, sequence: 0 },
  'of an unknown kind': { ...manifest, kind: 'partial' },
  'without a base member': { ...manifest, base: undefined },
  'with a name that is too long': { ...manifest, setName: 'x'.repeat(nameCharsMax + 1) },
  'with an attempt that is none': { ...manifest, root: { ...manifest.root, attempt: '0123456789ABCDEF' } },
  'with a time that is none': { ...manifest, createdAt: 'yesterday' },
  'of an unknown consistency': { ...manifest, consistency: 'frozen' },
  'with too many warnings': { ...manifest, warnings: Array.from({ length: 201 }, () => manifest.warnings[0]) },
}
for (const [what, content] of Object.entries(wrong)) {
  test(`a manifest ${what} is damaged`, () => {
    assert.throws(() => parse(content), { code: 'E_FORMAT_DAMAGED' })
  })
}

test('every member is needed', () => {
  for (const member of Object.keys(manifest).filter((name) => name !== 'strata')) {
    assert.throws(() => parse({ ...manifest, [member]: undefined }), { code: 'E_FORMAT_DAMAGED' }, member)
  }
  assert.throws(() => parse({ ...manifest, strata: undefined }), { code: 'E_FORMAT_KIND' })
})
