import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type ErrorCode, hasCode } from '@strata/shared/errors.ts'
import { parseBandwidth } from './bandwidth.ts'
import { parseBlockSize } from './block-size.ts'
import { parsePointReference, parseWholePoint } from './point-reference.ts'
import { parseSources } from './source.ts'
import { parseTenantName } from './tenant-name.ts'

const refusing = (code: ErrorCode) => (error: unknown) => hasCode(error, code)

test('a source is a path, or a name and a path; they are sorted by name', () => {
  assert.deepEqual(parseSources(['/dev/vdb', 'system=/dev/vda', './a=b.img', 'x=c=d.img'], '/home/me'), [
    { name: 'a-b.img', path: '/home/me/a=b.img' },
    { name: 'system', path: '/dev/vda' },
    { name: 'vdb', path: '/dev/vdb' },
    { name: 'x', path: '/home/me/c=d.img' },
  ])
})

test('a name that follows from a path has only what a name can have', () => {
  const nameOf = (path: string): string | undefined => parseSources([path], '/')[0]?.name
  assert.equal(nameOf('/images/my disk (1).img'), 'my-disk-1-.img')
  assert.equal(nameOf('/images/.hidden.img'), 'hidden.img')
  assert.equal(nameOf('/images/été'), 't')
  assert.equal(nameOf(`/images/${'x'.repeat(100)}`), 'x'.repeat(64))
  assert.throws(() => nameOf('/images/日本'), refusing('E_DISK_NAME'))
  assert.throws(() => nameOf('/'), refusing('E_DISK_NAME'))
})

test('two disks cannot have one name, nor names that differ in case only', () => {
  assert.throws(() => parseSources(['/a/disk.img', '/b/disk.img'], '/'), refusing('E_DISK_NAME'))
  assert.throws(() => parseSources(['A=/a', 'a=/b'], '/'), refusing('E_DISK_NAME'))
})

test('what names no path is refused', () => {
  for (const text of ['', 'system=', 'a\0b']) assert.throws(() => parseSources([text], '/'), refusing('E_USAGE'))
})

test('points by id and by latest, with and without a disk', () => {
  assert.deepEqual(parsePointReference('3f9a1c'), { point: '3f9a1c', disk: undefined })
  assert.deepEqual(parsePointReference('3f9a1c0b77de:data'), { point: '3f9a1c0b77de', disk: 'data' })
  assert.deepEqual(parsePointReference('latest:web 1'), { point: 'latest:web 1', disk: undefined })
  assert.deepEqual(parsePointReference('latest:web-1:data'), { point: 'latest:web-1', disk: 'data' })
  assert.equal(parseWholePoint('latest:web-1'), 'latest:web-1')
})

test('anything else is no point', () => {
  const wrong = ['', '3f9a1', '3F9A1C', 'latest', 'x'.repeat(32), '3f9a1c:', '3f9a1c:a:b', 'latest:a:', 'latest:a:b:c']
  for (const text of wrong) assert.throws(() => parsePointReference(text), refusing('E_USAGE'), text)
  assert.throws(() => parsePointReference('latest:'), refusing('E_SET_NAME'))
  assert.throws(() => parsePointReference('latest:a\u001b[31m'), refusing('E_SET_NAME'))
  assert.throws(() => parseWholePoint('3f9a1c:data'), refusing('E_USAGE'))
})

test('block sizes', () => {
  const sizes = { '65536': 65536, '64K': 65536, '256k': 262144, '256KiB': 262144, '1M': 1048576, '4MB': 4194304 }
  for (const [text, bytes] of Object.entries(sizes)) assert.equal(parseBlockSize(text), bytes)
  for (const text of ['', '0', '32K', '8M', '100K', '1G', '-1M', '1.5M', '64', '65537', '1e6', '99999999999999K']) {
    assert.throws(() => parseBlockSize(text), refusing('E_USAGE'), text)
  }
})

test('rates', () => {
  const parse = (text: string): number => parseBandwidth(text, 'E_USAGE', '--bandwidth-limit')
  const rates = { '1024': 1024, '500K': 512_000, '10M': 10_485_760, '10mib': 10_485_760, '1GB': 1024 ** 3 }
  for (const [text, bytesPerSecond] of Object.entries(rates)) assert.equal(parse(text), bytesPerSecond)
  for (const text of ['', '0', '1023', '0M', '-1M', '1.5M', '10 M', '10M/s', '10T', 'fast', '1e6', '999999999999G']) {
    assert.throws(() => parse(text), refusing('E_USAGE'), text)
  }
})

test('names of tenants are visible text', () => {
  assert.equal(parseTenantName('Baker & Sons'), 'Baker & Sons')
  assert.equal(parseTenantName('Mu\u0308ller'), 'Müller')
  for (const text of ['', ' x', 'a\nb', '\u001b[1m', 'x'.repeat(201), 'ab'.repeat(16)]) {
    assert.throws(() => parseTenantName(text), refusing('E_USAGE'))
  }
})
