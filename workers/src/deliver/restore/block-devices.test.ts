import assert from 'node:assert/strict'
import { test } from 'node:test'
import { deviceNumber, parseMountinfo, parseSwaps } from './block-devices.ts'

test('device numbers are taken apart as the C library does', () => {
  // makedev(8, 1), makedev(259, 65536 + 3), makedev(0x12345, 0xabcdef)
  assert.equal(deviceNumber(0x801), '8:1')
  assert.equal(deviceNumber(0x10010303), '259:65539')
  assert.equal(deviceNumber(0x1200abcd345ef), '74565:11259375')
})

test('a mount table is read with its escapes and optional fields', () => {
  const text = [
    '22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw',
    '40 22 0:41 /sub /mnt/a\\040b\\134c rw - btrfs /dev/sdb2 rw,space_cache',
    '41 22 0:5 / /dev rw master:2 propagate_from:2 - devtmpfs devtmpfs rw',
    '',
  ].join('\n')
  assert.deepEqual(parseMountinfo(text), [
    { number: '8:1', mountPoint: '/', source: '/dev/sda1' },
    { number: '0:41', mountPoint: '/mnt/a b\\c', source: '/dev/sdb2' },
    { number: '0:5', mountPoint: '/dev', source: 'devtmpfs' },
  ])
})

test('a swap table is read', () => {
  const text =
    'Filename\t\t\t\tType\t\tSize\tUsed\tPriority\n/dev/dm-1   partition\t1048572\t0\t-2\n/swap\\040file file 1 0 -3\n'
  assert.deepEqual(parseSwaps(text), ['/dev/dm-1', '/swap file'])
  assert.deepEqual(parseSwaps(''), [])
})
