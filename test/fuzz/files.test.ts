import assert from 'node:assert/strict'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import fc from 'fast-check'
import { StrataError, type ErrorCode } from '@strata/shared/errors.ts'
import { createKeyFile, readKeyFile } from '@strata/shared/keys/key-file.ts'
import { readKeyring, writeKeyring } from '@strata/shared/keys/keyring.ts'
import { seededRandom } from '@strata/shared/testing/test-repository.ts'
import { asId, type Id, type TenantId } from '@strata/shared/types.ts'
import { fuzzing, nearly } from './mutate.ts'

/** Key files and keyrings lie on somebody's machine for years: damaged, they are refused by name and quote nothing. */
const { runs, seed } = fuzzing()
const random = seededRandom('files')
let directory: string

before(async () => {
  directory = await mkdtemp(join(tmpdir(), 'strata-fuzz-'))
})

after(async () => {
  await rm(directory, { recursive: true, force: true })
})

async function fuzzFile(
  example: Uint8Array,
  read: (path: string) => Promise<unknown>,
  codes: readonly ErrorCode[],
): Promise<void> {
  const path = join(directory, 'fuzzed')
  await fc.assert(
    fc.asyncProperty(fc.oneof(nearly([example]), fc.uint8Array({ maxLength: 200 })), async (bytes) => {
      await writeFile(path, bytes, { mode: 0o600 })
      try {
        await read(path)
      } catch (error) {
        assert.ok(error instanceof StrataError && codes.includes(error.code), String(error))
        const secret = Buffer.from(example).toString('latin1').slice(-40, -3)
        assert.ok(!`${error.message}${error.hint}`.includes(secret))
      }
    }),
    { numRuns: Math.ceil(runs / 10), seed },
  )
}

test('fuzz: key file', async (t) => {
  t.diagnostic(`STRATA_FUZZ_SEED=${String(seed)} STRATA_FUZZ_RUNS=${String(runs)}`)
  const path = join(directory, 'key-file')
  await createKeyFile(path, random)
  await fuzzFile(await readFile(path), readKeyFile, ['E_KEY_WRONG', 'E_FORMAT_NEWER'])
})

test('fuzz: keyring', async (t) => {
  t.diagnostic(`STRATA_FUZZ_SEED=${String(seed)} STRATA_FUZZ_RUNS=${String(runs)}`)
  const path = join(directory, 'keyring')
  const keyring = {
    repositoryId: asId<Id>('1'.repeat(32)),
    tenantId: asId<TenantId>('2'.repeat(32)),
    tenantName: 'tenant',
    publicKey: random(32),
    indexKeys: new Map([[1, random(32)]]),
    currentGeneration: 1,
  }
  await writeKeyring(path, keyring, { overwrite: false })
  await fuzzFile(await readFile(path), readKeyring, ['E_KEYRING_DAMAGED', 'E_FORMAT_NEWER'])
})
