import assert from 'node:assert/strict'
import { closeSync, mkdtempSync, openSync, rmSync, statSync, truncateSync, writeFileSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { suite, test, type TestContext } from 'node:test'
import { loopDevice, skipWithoutLoopDevices } from '../testing/loop-device.ts'
import { run, skipWithout } from '../testing/programs.ts'
import { identityOf } from './identity.ts'
import { sectorsOf } from './sectors.ts'

const MiB = 1024 * 1024
const uuid = '3f1c9ad2-7b64-4c08-9f51-0d2e6a8b7c13'

function blank(t: TestContext, sizeBytes: number): string {
  const directory = mkdtempSync(join(tmpdir(), 'strata-identity-'))
  t.after(() => {
    rmSync(directory, { recursive: true })
  })
  const path = join(directory, 'disk.img')
  writeFileSync(path, '')
  truncateSync(path, sizeBytes)
  return path
}

function identity(path: string): ReturnType<typeof identityOf> {
  const fd = openSync(path, 'r')
  try {
    return identityOf(sectorsOf(fd, statSync(path).size))
  } finally {
    closeSync(fd)
  }
}

function write(path: string, offset: number, bytes: Buffer): void {
  const fd = openSync(path, 'r+')
  writeSync(fd, bytes, 0, bytes.length, offset)
  closeSync(fd)
}

/** What blkid, which shares no code with us, says the UUID is. */
function blkidUuid(path: string): string {
  return run('blkid', '-p', '-s', 'UUID', '-o', 'value', path).toLowerCase()
}

interface Made {
  readonly kind: string
  readonly sizeMiB: number
  readonly program: string
  readonly parameters: readonly string[]
}

const filesystems: readonly Made[] = [
  { kind: 'ext2', sizeMiB: 8, program: 'mke2fs', parameters: ['-q', '-t', 'ext2'] },
  { kind: 'ext3', sizeMiB: 16, program: 'mke2fs', parameters: ['-q', '-t', 'ext3'] },
  { kind: 'ext4', sizeMiB: 16, program: 'mke2fs', parameters: ['-q', '-t', 'ext4'] },
  { kind: 'xfs', sizeMiB: 320, program: 'mkfs.xfs', parameters: ['-q'] },
  { kind: 'btrfs', sizeMiB: 128, program: 'mkfs.btrfs', parameters: ['-q'] },
  { kind: 'ntfs', sizeMiB: 16, program: 'mkntfs', parameters: ['-F', '-Q', '-q'] },
  { kind: 'vfat', sizeMiB: 4, program: 'mkfs.fat', parameters: ['-F', '12'] },
  { kind: 'vfat', sizeMiB: 16, program: 'mkfs.fat', parameters: ['-F', '16'] },
  { kind: 'vfat', sizeMiB: 64, program: 'mkfs.fat', parameters: ['-F', '32'] },
  { kind: 'exfat', sizeMiB: 16, program: 'mkfs.exfat', parameters: [] },
  { kind: 'swap', sizeMiB: 4, program: 'mkswap', parameters: ['-q'] },
]

suite('identity of a disk', () => {
  test('a blank disk, and one smaller than any table, has none', (t) => {
    assert.deepEqual(identity(blank(t, 4 * MiB)), {})
    assert.deepEqual(identity(blank(t, 1)), {})
    assert.deepEqual(identity(blank(t, 513)), {})
  })

  for (const { kind, sizeMiB, program, parameters } of filesystems) {
    test(`${kind} by ${[program, ...parameters].join(' ')}`, { skip: skipWithout(program, 'blkid') }, (t) => {
      const path = blank(t, sizeMiB * MiB)
      run(program, ...parameters, path)
      const expected = blkidUuid(path)
      assert.notEqual(expected, '')
      assert.deepEqual(identity(path), { filesystem: `${kind}:${expected}` })
    })
  }

  for (const type of ['luks1', 'luks2']) {
    test(type, { skip: skipWithout('cryptsetup', 'blkid') }, (t) => {
      const path = blank(t, 32 * MiB)
      const keyFile = `${path}.key`
      writeFileSync(keyFile, 'a passphrase')
      const cheap = ['--pbkdf', 'pbkdf2', '--pbkdf-force-iterations', '1000']
      run('cryptsetup', 'luksFormat', '-q', '--type', type, ...cheap, '--key-file', keyFile, path)
      assert.deepEqual(identity(path), { filesystem: `luks:${blkidUuid(path)}` })
    })
  }

  test('an LVM physical volume', { skip: skipWithout('pvcreate', 'blkid') || skipWithoutLoopDevices() }, (t) => {
    const path = blank(t, 32 * MiB)
    const device = loopDevice(t, path)
    run('pvcreate', '-ff', '-y', device)
    assert.deepEqual(identity(path), { filesystem: `lvm:${run('blkid', '-p', '-s', 'UUID', '-o', 'value', device)}` })
  })

  test('a GPT, by its spare header too, and not when both are damaged', { skip: skipWithout('sgdisk') }, (t) => {
    const path = blank(t, 16 * MiB)
    run('sgdisk', '-o', '-n', '1:2048:+4M', '-U', uuid, path)
    assert.deepEqual(identity(path), { gpt: uuid })
    write(path, 512 + 60, Buffer.from('damage'))
    assert.deepEqual(identity(path), { gpt: uuid })
    write(path, 16 * MiB - 512 + 60, Buffer.from('damage'))
    assert.deepEqual(identity(path), {})
  })

  test('a GPT with sectors of 4096 bytes', { skip: skipWithout('sgdisk') || skipWithoutLoopDevices() }, (t) => {
    const path = blank(t, 64 * MiB)
    run('sgdisk', '-o', '-U', uuid, loopDevice(t, path, 4096))
    assert.deepEqual(identity(path), { gpt: uuid })
  })

  test(
    'an MBR; an old file system before its first partition says nothing',
    { skip: skipWithout('sfdisk', 'mke2fs') },
    (t) => {
      const path = blank(t, 16 * MiB)
      run('mke2fs', '-q', '-t', 'ext4', path)
      const script = `${path}.sfdisk`
      writeFileSync(script, 'label: dos\nlabel-id: 0x0012abcd\n2048,4096,83\n')
      run('sh', '-c', `PATH=$PATH:/usr/sbin:/sbin sfdisk -q '${path}' <'${script}'`)
      assert.deepEqual(identity(path), { mbr: '0012abcd' })
    },
  )

  test('marks without a UUID are no identity', (t) => {
    const path = blank(t, MiB)
    write(path, 0, Buffer.from('XFSB'))
    assert.deepEqual(identity(path), {})
    write(path, 0, Buffer.from('LUKS\xba\xbe', 'latin1'))
    assert.deepEqual(identity(path), {})
  })
})
