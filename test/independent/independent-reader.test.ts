import assert from 'node:assert/strict'
import { execFile, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { cp, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { systemClock, systemRandomBytes } from '@strata/shared/clock.ts'
import { manifestName } from '@strata/shared/format/names.ts'
import { readPoint } from '@strata/shared/repository/points.ts'
import type { Repository } from '@strata/shared/repository/repository.ts'
import { unlockRepository } from '@strata/shared/repository/unlock.ts'
import { openDirectoryStore } from '@strata/shared/store/directory.ts'
import { idBytes, idFromBytes, type SessionId, type SetId } from '@strata/shared/types.ts'
import { takeNumber } from '@strata/workers/commit/take-number.ts'
import {
  goldenDescription,
  goldenKeyFile,
  goldenStore,
  type Golden,
  type GoldenPoint,
} from '../fixtures/golden/make-golden.ts'
import { rotatedDescription, rotatedStore, type GoldenRotated } from '../fixtures/golden/make-rotated.ts'
import { describeWith, type Requirement } from '../servers/require-server.ts'

/**
 * A reader in another language, written from docs/format.md alone, reads the golden repository. When it cannot, either
 * the document or the code has changed its mind about the format.
 */
const reader = join(import.meta.dirname, 'read_point.py')

/** Debian's own Python has Debian's packages; another one that comes first in PATH may not. */
const python = ['python3', '/usr/bin/python3'].find(
  (program) => spawnSync(program, ['-c', 'import cryptography, zstandard'], { stdio: 'ignore' }).status === 0,
)

const packages: Requirement = {
  name: 'python3-cryptography and python3-zstandard',
  programs: ['python3'],
  remedy: 'apt-get install python3-cryptography python3-zstandard',
  isMet: () => python !== undefined,
}

interface Run {
  readonly status: number | string | null
  readonly output: string
  readonly errors: string
}

async function read(parameters: readonly string[], passphrase = '', recoveryKey = ''): Promise<Run> {
  const env = { ...process.env, STRATA_PASSPHRASE: passphrase, STRATA_RECOVERY_KEY: recoveryKey }
  return new Promise((resolve) => {
    execFile(python ?? '', [reader, ...parameters], { env, maxBuffer: 2 ** 24 }, (error, output, errors) => {
      resolve({ status: error === null ? 0 : (error.code ?? null), output, errors })
    })
  })
}

describeWith(packages, 'a reader written from docs/format.md', () => {
  let temporary: string
  let golden: Golden

  before(async () => {
    temporary = await mkdtemp(join(tmpdir(), 'strata-independent-'))
    golden = JSON.parse(await readFile(goldenDescription, 'utf8')) as Golden
  })

  after(async () => {
    await rm(temporary, { recursive: true, force: true })
  })

  const pointOf = (setName: string, sequence: number): GoldenPoint => {
    const found = golden.points.find((point) => point.setName === setName && point.sequence === sequence)
    assert.ok(found)
    return found
  }

  test('reads every disk of every point, and checks every digest', async () => {
    const { status, output, errors } = await read([goldenStore, 'sums'], golden.passphrase)
    assert.equal(status, 0, errors)
    const found = new Map((JSON.parse(output) as GoldenPoint[]).map((point) => [point.point, point]))
    assert.equal(found.size, golden.points.length)
    for (const { point, setName, sequence, kind, disks } of golden.points) {
      const read = found.get(point)
      assert.deepEqual([read?.setName, read?.sequence, read?.kind, read?.disks], [setName, sequence, kind, disks])
    }
  })

  test('lists points with the key file', async () => {
    const { status, output, errors } = await read([goldenStore, '--key-file', goldenKeyFile, 'points'])
    assert.equal(status, 0, errors)
    const ids = (JSON.parse(output) as GoldenPoint[]).map(({ point }) => point)
    assert.deepEqual(ids.sort(), golden.points.map(({ point }) => point).sort())
  })

  test('restores a disk to a file', async () => {
    const { point, disks } = pointOf('machine', 4)
    const target = join(temporary, 'restored')
    const wanted = disks.find(({ name }) => name === 'system')
    const { status, errors } = await read([goldenStore, 'restore', point, 'system', target], golden.passphrase)
    assert.equal(status, 0, errors)
    assert.equal(
      createHash('sha256')
        .update(await readFile(target))
        .digest('hex'),
      wanted?.sha256,
    )
  })

  test('reads a tenant whose keys were rotated, with the recovery sheet', async () => {
    const rotated = JSON.parse(await readFile(rotatedDescription, 'utf8')) as GoldenRotated
    const { status, output, errors } = await read([rotatedStore, 'sums'], '', rotated.recoveryKey)
    assert.equal(status, 0, errors)
    const found = (JSON.parse(output) as GoldenPoint[]).map(({ point, disks }) => [point, disks])
    assert.deepEqual(
      found,
      rotated.points.map(({ point, disks }) => [point, disks]),
    )
    const slip = rotated.recoveryKey.replace(/.$/m, (character) => (character === 'A' ? 'B' : 'A'))
    const refused = await read([rotatedStore, 'points'], '', slip)
    assert.deepEqual([refused.status, refused.errors], [1, 'refused: line 1\n'])
  })

  test('does not open with another passphrase', async () => {
    const { status, errors } = await read([goldenStore, 'points'], 'another')
    assert.equal(status, 1)
    assert.match(errors, /^refused: what was given does not open/)
  })

  /** A copy of the golden repository, and its set `machine` as a writer sees it. */
  async function writableCopy(name: string): Promise<{ store: string; repository: Repository; set: SetId }> {
    const store = join(temporary, name)
    await cp(goldenStore, store, { recursive: true })
    const { repository } = await unlockRepository(
      await openDirectoryStore(store, { clock: systemClock, randomBytes: systemRandomBytes }),
      {
        keyringPath: join(temporary, 'no-keyring'),
        secrets: () => Promise.resolve({ passphrase: golden.passphrase }),
        random: systemRandomBytes,
      },
    )
    return { store, repository, set: repository.setIdOf('machine') }
  }

  async function addVoid(repository: Repository, set: SetId, last: number): Promise<void> {
    const session = idFromBytes<SessionId>(repository.random(idBytes))
    await takeNumber({ repository, set, session, unreadable: 'refused' }, last, (facts) => ({
      strata: 'void',
      version: 1,
      session,
      ...facts,
    }))
  }

  test('passes over voids, which are links of the history like points', async () => {
    const { store, repository, set } = await writableCopy('store-voids')
    const last = pointOf('machine', 5)
    for (const number of [5, 6]) await addVoid(repository, set, number)
    // A point behind them: the last one once more, under another id.
    const { manifest } = await readPoint(repository, set, 5)
    const session = idFromBytes<SessionId>(repository.random(idBytes))
    const search = { repository, set, session, unreadable: 'refused' } as const
    await takeNumber(search, 7, (facts) => ({ ...manifest, point: session, ...facts }))
    await addVoid(repository, set, 8)
    const { status, output, errors } = await read([store, 'sums', session], golden.passphrase)
    assert.equal(status, 0, errors)
    const [found] = JSON.parse(output) as GoldenPoint[]
    assert.deepEqual([found?.sequence, found?.disks], [8, last.disks])
    const listed = await read([store, 'points'], golden.passphrase)
    assert.equal((JSON.parse(listed.output) as unknown[]).length, golden.points.length + 1)
  })

  test('notices a void that is missing, and one that does not follow', async () => {
    const { store, repository, set } = await writableCopy('store-void-history')
    for (const number of [5, 6]) await addVoid(repository, set, number)
    const name = manifestName(repository.placeOf(set), 6)
    await repository.store.delete(name)
    const missing = await read([store, 'points'], golden.passphrase)
    assert.deepEqual([missing.status, missing.errors.includes('numbers are missing')], [1, true], missing.errors)
    await addVoid(repository, set, 5)
    const replaced = await read([store, 'points'], golden.passphrase)
    assert.deepEqual([replaced.status, replaced.errors.includes('was replaced')], [1, true], replaced.errors)
  })

  const kinds = [
    { what: 'the keys document', path: /\/keys\/00000001$/, at: 600 },
    { what: 'a manifest', path: /\/points\/.*\/0000000001$/, at: 500 },
    { what: 'a page pack', path: /\/map-/, at: 100 },
    { what: 'a record', path: /\/data-/, at: 60 },
  ]
  for (const { what, path, at } of kinds) {
    test(`notices one flipped bit in ${what}`, async () => {
      const { point } = pointOf('B\u00fcro', 1)
      const store = join(temporary, `store-${String(at)}`)
      await cp(goldenStore, store, { recursive: true })
      const files = await readdir(store, { recursive: true })
      for (const name of files.filter((file) => path.test(file))) {
        const bytes = await readFile(join(store, name))
        bytes[at] = (bytes[at] ?? 0) ^ 1
        await writeFile(join(store, name), bytes)
      }
      const { status, errors } = await read([store, 'sums', point], golden.passphrase)
      assert.equal(status, 1, `nobody noticed that ${what} was altered`)
      assert.match(errors, /^refused: /)
    })
  }
})
