import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { test } from 'node:test'
import { machineFingerprint, type FactSources } from './machine-fingerprint.ts'

const machineId = 'a3f1c2d4e5b60718293a4b5c6d7e8f90'
const uuid = '4c4c4544-0042-3510-8051-b4c04f4b4d31'

function sources(files: Readonly<Record<string, string>>, more: Partial<FactSources> = {}): FactSources {
  return {
    platform: 'linux',
    read: (path) => {
      const text = files[path]
      return text === undefined ? Promise.reject(new Error('ENOENT')) : Promise.resolve(text)
    },
    run: () => Promise.reject(new Error('ENOENT')),
    ...more,
  }
}

const linux = (id: string, product?: string): Promise<string> =>
  machineFingerprint(
    undefined,
    sources({
      '/etc/machine-id': `${id}\n`,
      ...(product === undefined ? {} : { '/sys/class/dmi/id/product_uuid': `${product}\n` }),
    }),
  )

test('it is the same each time, in whatever spelling, and another one for another machine', async () => {
  const first = await linux(machineId, uuid)
  assert.match(first, /^[0-9a-f]{64}$/)
  assert.equal(await linux(machineId, uuid.toUpperCase()), first)
  const others = await Promise.all([
    linux(machineId.replace('a', 'b'), uuid),
    linux(machineId, uuid.replace('4c', '4d')),
    linux(machineId),
    linux(uuid.replaceAll('-', '')),
  ])
  assert.equal(new Set([first, ...others]).size, 5)
})

test('it changes with no release: endpoints that exist would become others', async () => {
  assert.equal(await linux(machineId), '2bba9b85ec5e869d22cd402cf2104a745de9e471bb138db3dc7e22e7bac84809')
})

test('what says nothing of a machine counts as not there, and with nothing left there is none', async () => {
  const only = await linux(machineId)
  for (const nothing of [
    '',
    'Not Settable',
    '0'.repeat(32),
    'ffffffff-ffff-ffff-ffff-ffffffffffff',
    '03000200-0400-0500-0006-000700080009',
  ]) {
    assert.equal(await linux(machineId, nothing), only, nothing)
  }
  for (const files of [{}, { '/etc/machine-id': 'uninitialized\n' }, { '/etc/machine-id': '' }]) {
    await assert.rejects(machineFingerprint(undefined, sources(files)), { code: 'E_MACHINE_UNKNOWN' })
  }
})

test('Windows and macOS are asked by their own programs', async () => {
  const reg = `\r\nHKEY_LOCAL_MACHINE\\SOFTWARE\\Microsoft\\Cryptography\r\n    MachineGuid    REG_SZ    ${uuid}\r\n\r\n`
  const ioreg = `+-o J314sAP\n    {\n      "IOPlatformUUID" = "${uuid.toUpperCase()}"\n    }\n`
  const asked: string[] = []
  const run = (output: string) => (program: string) => {
    asked.push(program)
    return Promise.resolve(output)
  }
  const windows = await machineFingerprint(undefined, sources({}, { platform: 'win32', run: run(reg) }))
  const mac = await machineFingerprint(undefined, sources({}, { platform: 'darwin', run: run(ioreg) }))
  assert.deepEqual(asked, ['reg', 'ioreg'])
  assert.equal(windows, await linux(uuid.replaceAll('-', '')))
  assert.notEqual(mac, windows)
  for (const platform of ['win32', 'darwin'] as const) {
    await assert.rejects(machineFingerprint(undefined, sources({}, { platform, run: run('nothing') })), {
      code: 'E_MACHINE_UNKNOWN',
    })
    await assert.rejects(machineFingerprint(undefined, sources({}, { platform })), { code: 'E_MACHINE_UNKNOWN' })
  }
})

test('this machine has one, wherever it has something that tells it from others', async () => {
  const files = ['/etc/machine-id', '/sys/class/dmi/id/product_uuid'].filter((path) => existsSync(path))
  const readable = Object.fromEntries(files.map((path) => [path, readFileSync(path, 'utf8')]))
  const [expected, found] = await Promise.allSettled([
    machineFingerprint(undefined, sources(readable)),
    machineFingerprint(),
  ])
  assert.deepEqual(found, expected)
})
