import assert from 'node:assert/strict'
import { open, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { spawnSync } from 'node:child_process'
import { test } from 'node:test'
import { seededRandom } from '../fixtures/make-point.ts'
import type { PointAnswer, VerifyAnswer } from '../fixtures/strata-program.ts'
import { MiB, Place, type Run } from '../end-to-end/place.ts'

/**
 * The whole way with the program itself: a byte of the store goes bad, `verify --rolling` finds it without the passphrase,
 * and the next backup heals it, in the new point and in the old ones.
 */
const blockBytes = 256 * 1024

interface RollingAnswer {
  readonly state: string
  readonly checkedObjects: number
  readonly damage: readonly {
    readonly disk: string
    readonly block: number
    readonly blocks: number
    readonly points: readonly string[]
    readonly pack: string
  }[]
  readonly ended: readonly { readonly how: string; readonly points: readonly string[] }[]
}

/** A disk of 6 MiB, backed up three times with a change between. */
async function backedUp(): Promise<{ place: Place; points: string[]; versions: Buffer[] }> {
  const place = await Place.withPoint()
  const random = seededRandom('healing')
  const bytes = Buffer.from(random(6 * MiB))
  const versions: Buffer[] = []
  const points: string[] = []
  for (const block of [2, 3, 4]) {
    bytes.set(random(blockBytes), block * blockBytes)
    versions.push(Buffer.from(bytes))
    await writeFile(place.file('healing.img'), bytes)
    points.push((await place.backUp(place.file('healing.img'), 'healing')).point)
  }
  return { place, points, versions }
}

/** The record of a block of the full is in its only pack; blocks that cannot be compressed lie in their order. */
async function spoil(place: Place, block: number): Promise<void> {
  const [name] = (await place.points('healing')).map(({ point }) => point)
  const pack = await place.object(new RegExp(`/${name ?? ''}/data-`))
  const file = await open(place.stored(pack), 'r+')
  try {
    const at = block * (blockBytes + 64) + 1000
    const { buffer } = await file.read(Buffer.alloc(1), 0, 1, at)
    await file.write(Buffer.from([(buffer[0] ?? 0) ^ 0x10]), 0, 1, at)
  } finally {
    await file.close()
  }
}

async function rolling(place: Place, exitCode: number): Promise<RollingAnswer> {
  const run: Run = await place.run(['--json', 'verify', '--rolling'], {
    env: { STRATA_PASSPHRASE: undefined, STRATA_KEY_FILE: undefined },
  })
  assert.equal(run.exitCode, exitCode, run.messages)
  return JSON.parse(run.output) as RollingAnswer
}

const reader = join(import.meta.dirname, '../independent/read_point.py')
const python = ['python3', '/usr/bin/python3'].find(
  (program) => spawnSync(program, ['-c', 'import cryptography, zstandard'], { stdio: 'ignore' }).status === 0,
)

/** Whoever knows docs/format.md alone reads the old point by way of the repair. */
async function assertIndependent(place: Place, point: string, expected: Buffer): Promise<void> {
  if (python === undefined) return
  const target = place.file('independent.img')
  const args = [reader, place.file('store'), '--key-file', place.file('key'), '--skip-digests', 'restore', point]
  const { status, stderr } = spawnSync(python, [...args, 'healing.img', target], { encoding: 'utf8' })
  assert.equal(status, 0, stderr)
  assert.ok((await readFile(target)).equals(expected))
}

interface Report {
  readonly publicKey: string
  readonly report: {
    readonly sets: readonly {
      readonly set: string
      readonly points: number
      readonly deep: readonly { readonly state: string }[]
      readonly damage: readonly unknown[]
      readonly ended: readonly { readonly how: string }[]
    }[]
  }
}

async function assertReported(place: Place): Promise<void> {
  const { output } = await place.run(['--json', 'verify', '--report'])
  const { report, publicKey } = JSON.parse(output) as Report
  const found = report.sets.find(({ set }) => set === 'healing') ?? assert.fail()
  assert.deepEqual(
    [found.points, found.deep.map(({ state }) => state), found.damage.length, found.ended.map(({ how }) => how)],
    [4, ['intact'], 0, ['healed']],
  )
  const path = place.file('report.json')
  await writeFile(path, output)
  await place.answers('verify', '--check-report', path)
  await place.answersWith(
    { env: { STRATA_STORE: undefined } },
    'verify',
    '--check-report',
    path,
    '--report-key',
    publicKey,
  )
  await writeFile(path, output.replace('"points": 4', '"points": 5'))
  await place.refuses('E_REPORT_INVALID', ['verify', '--check-report', path])
  await place.refuses('E_USAGE', ['verify', '--report', '--rolling'], { exitCode: 2 })
}

async function states(place: Place): Promise<string[]> {
  const { output } = await place.run(['--json', 'points', '--set', 'healing'])
  return (JSON.parse(output) as PointAnswer[]).map(({ state }) => state)
}

test('a bad byte is found without the passphrase, and the next backup heals it in all points', async () => {
  const { place, points, versions } = await backedUp()
  await using _ = place
  await spoil(place, 7)
  const { state, damage } = await rolling(place, 3)
  assert.equal(state, 'damaged')
  assert.deepEqual(
    damage.map(({ disk, block, blocks, points: hit }) => ({ disk, block, blocks, points: hit })),
    [{ disk: 'healing.img', block: 7, blocks: 1, points }],
  )
  assert.deepEqual(await states(place), ['damaged', 'damaged', 'damaged'])

  const healing = await place.backUp(place.file('healing.img'), 'healing')
  assert.equal(healing.changedBytes, blockBytes)
  assert.deepEqual(
    healing.warnings.map(({ code }) => code),
    ['W_DAMAGE_HEALED'],
  )
  assert.deepEqual(await states(place), ['complete', 'complete', 'complete', 'complete'])
  assert.equal((await place.answers<VerifyAnswer>('verify', '--all')).state, 'intact')
  for (const [index, bytes] of versions.entries()) {
    await writeFile(place.file('expected.img'), bytes)
    await place.assertRestores(points[index] ?? '', place.file('expected.img'))
  }
  await place.assertRestores('latest:healing', place.file('healing.img'))
  await assertIndependent(place, points[0] ?? '', versions[0] ?? assert.fail())
  assert.deepEqual((await rolling(place, 0)).damage, [])
  await assertReported(place)
  // Nobody asks for it once more.
  assert.equal((await place.backUp(place.file('healing.img'), 'healing')).changedBytes, 0)
})

test('what the disk does not have any more stays damaged in old points, and is said to be', async () => {
  const { place, points } = await backedUp()
  await using _ = place
  await spoil(place, 7)
  await spoil(place, 9)
  await rolling(place, 3)
  const bytes = await readFile(place.file('healing.img'))
  bytes.fill(0xaa, 7 * blockBytes, 8 * blockBytes)
  await writeFile(place.file('healing.img'), bytes)
  const { point } = await place.backUp(place.file('healing.img'), 'healing')
  const { damage } = await rolling(place, 3)
  assert.deepEqual(
    damage.map(({ block, points: hit }) => ({ block, points: hit })),
    [{ block: 7, points }],
  )
  assert.deepEqual(await states(place), ['damaged', 'damaged', 'damaged', 'complete'])
  await place.assertRestores(point, place.file('healing.img'))
  // The new point has another block there, and what was healed is asked for no more.
  assert.equal((await place.backUp(place.file('healing.img'), 'healing')).changedBytes, 0)
})

test('after damage to the map the next backup begins a chain that needs none of it', async () => {
  const { place, points } = await backedUp()
  await using _ = place
  const map = await place.object(new RegExp(`/${points[2] ?? ''}/map-`))
  const file = await open(place.stored(map), 'r+')
  await file.write(Buffer.from('spoilt'), 0, 6, 100)
  await file.close()
  const { damage } = await rolling(place, 3)
  assert.deepEqual(
    damage.map(({ block, blocks, points: hit }) => ({ block, blocks, points: hit })),
    [{ block: 0, blocks: 24, points: [points[2]] }],
  )
  const { point, kind, warnings } = await place.backUp(place.file('healing.img'), 'healing')
  assert.equal(kind, 'full')
  assert.deepEqual(
    warnings.map(({ code }) => code),
    ['W_CHAIN_DAMAGED'],
  )
  await place.assertRestores(point, place.file('healing.img'))
  assert.deepEqual(await states(place), ['complete', 'complete', 'damaged', 'complete'])
})
