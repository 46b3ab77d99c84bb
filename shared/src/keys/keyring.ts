import * as v from 'valibot'
import { type Fitting, hexText, list, text, wholeNumber } from '../format/schema.ts'
import { hasCode, invariant, StrataError } from '../errors.ts'
import { documentHead, idSchema, parseDocument } from '../format/document.ts'
import { keyBytes } from '../format/xaes.ts'
import { indexKeyGenerationsMax, keyringBytesMax, nameCharsMax } from '../limits.ts'
import { asId, type Id, type TenantId } from '../types.ts'
import { firstGeneration, type IngestKeys } from './ingest-keys.ts'
import { readSecretFile, writeSecretFile } from './secret-file.ts'

/**
 * The keyring: the ingest half of a tenant's keys on this machine, at the path in STRATA_KEYRING, so that backups run
 * without anybody's passphrase. It never holds the private key; whoever steals it can write points and read maps and
 * digests, but no block.
 */
export interface Keyring extends IngestKeys {
  readonly tenantName: string
}

const hexKeySchema = hexText(keyBytes)
const generationSchema = wholeNumber(firstGeneration, 2 ** 32 - 1)

const keyringSchema = v.object({
  ...documentHead('keyring', 1),
  repositoryId: idSchema,
  tenantId: idSchema,
  tenantName: text({ charsMin: 1, charsMax: nameCharsMax }),
  publicKey: hexKeySchema,
  currentGeneration: generationSchema,
  indexKeys: list(v.object({ generation: generationSchema, key: hexKeySchema }), {
    min: 1,
    max: indexKeyGenerationsMax,
  }),
})
type KeyringDocument = Fitting<typeof keyringSchema>
const keyringType = { title: 'keyring', version: 1, schema: keyringSchema }

/**
 * Reads the keyring. E_KEYRING_MISSING, E_KEYRING_DAMAGED, E_FORMAT_NEWER; E_CONFIGURATION when it cannot be read, or
 * when others than its owner may read or write it (as ssh does with its keys).
 */
export async function readKeyring(path: string): Promise<Keyring> {
  const bytes = await readSecretFile(path, { what: 'keyring', bytesMax: keyringBytesMax, tooLong: 'E_KEYRING_DAMAGED' })
  if (bytes === undefined) throw new StrataError('E_KEYRING_MISSING', `there is no keyring at ${path}`)
  const keyring = keyringFrom(parseKeyring(path, bytes))
  if (!keyring.indexKeys.has(keyring.currentGeneration) || !keyring.indexKeys.has(firstGeneration)) {
    throw new StrataError('E_KEYRING_DAMAGED', `the keyring ${path} lacks an index key that it names`)
  }
  return keyring
}

/**
 * Writes the keyring whole or not at all, readable by its owner only; a missing directory is made so as well. Unless
 * `overwrite` is set, one that exists stays as it is: E_TENANT_EXISTS.
 */
export async function writeKeyring(path: string, keyring: Keyring, options: { overwrite: boolean }): Promise<void> {
  const bytes = Buffer.from(`${JSON.stringify(documentOf(keyring), undefined, 2)}\n`, 'utf8')
  parseKeyring(path, bytes)
  invariant(keyring.indexKeys.has(keyring.currentGeneration), 'a keyring has its current index key')
  const written = await writeSecretFile(path, bytes, { what: 'keyring', ...options })
  if (!written) throw new StrataError('E_TENANT_EXISTS', `there is a keyring at ${path} already`)
}

function parseKeyring(path: string, bytes: Uint8Array): KeyringDocument {
  try {
    return parseDocument(keyringType, path, bytes)
  } catch (error) {
    if (hasCode(error, 'E_FORMAT_DAMAGED', 'E_FORMAT_KIND', 'E_LIMIT')) {
      // The cause stays out: a JSON parser's message quotes the text around the fault, and the text holds keys.
      throw new StrataError('E_KEYRING_DAMAGED', `the file ${path} does not hold a readable keyring`)
    }
    throw error
  }
}

function keyringFrom(document: KeyringDocument): Keyring {
  return {
    repositoryId: asId<Id>(document.repositoryId),
    tenantId: asId<TenantId>(document.tenantId),
    tenantName: document.tenantName,
    publicKey: fromHex(document.publicKey),
    indexKeys: new Map(document.indexKeys.map(({ generation, key }) => [generation, fromHex(key)])),
    currentGeneration: document.currentGeneration,
    mayBeBehind: true,
  }
}

function documentOf(keyring: Keyring): KeyringDocument {
  return {
    strata: 'keyring',
    version: 1,
    repositoryId: keyring.repositoryId,
    tenantId: keyring.tenantId,
    tenantName: keyring.tenantName,
    publicKey: hex(keyring.publicKey),
    currentGeneration: keyring.currentGeneration,
    indexKeys: [...keyring.indexKeys].map(([generation, key]) => ({ generation, key: hex(key) })),
  }
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex')
}

function fromHex(text: string): Uint8Array {
  return new Uint8Array(Buffer.from(text, 'hex'))
}
