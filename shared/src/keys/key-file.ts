import type { RandomBytes } from '../clock.ts'
import { invariant, StrataError } from '../errors.ts'
import { keyBytes } from '../format/xaes.ts'
import { keyFileBytesMax } from '../limits.ts'
import { readSecretFile, writeSecretFile } from './secret-file.ts'

/**
 * A key file: 32 random bytes that unlock a tenant in place of a passphrase, as a text file with a line that says
 * what it is, so that whoever finds it in ten years knows what it opens.
 */
const header = 'Strata key file 1: keep it safe and apart from the store; it opens everything of its tenant.'
const headerPattern = /^Strata key file (\d{1,9})(?!\d)[^\n]{0,200}$/
const keyPattern = /^[A-Za-z0-9+/]{43}=$/
const fileVersion = 1
const hint = 'Give the file that strata init wrote, unchanged.'

/** Gives the 32 bytes. E_KEY_MISSING: no such file. E_KEY_WRONG: no key file. E_CONFIGURATION: others may read it. */
export async function readKeyFile(path: string): Promise<Uint8Array> {
  const bytes = await readSecretFile(path, { what: 'key file', bytesMax: keyFileBytesMax, tooLong: 'E_KEY_WRONG' })
  if (bytes === undefined) throw new StrataError('E_KEY_MISSING', `there is no key file at ${path}`)
  const [first = '', second = '', ...rest] = Buffer.from(bytes).toString('utf8').replaceAll('\r\n', '\n').split('\n')
  const version = headerPattern.exec(first)?.[1]
  if (version !== undefined && Number(version) > fileVersion) {
    throw new StrataError('E_FORMAT_NEWER', `${path} is a key file of version ${version}; this program reads version 1`)
  }
  const key = new Uint8Array(Buffer.from(second, 'base64'))
  const wellFormed = version === String(fileVersion) && keyPattern.test(second) && rest.join('').trim() === ''
  if (!wellFormed || key.length !== keyBytes) {
    throw new StrataError('E_KEY_WRONG', `${path} is not a Strata key file, or is damaged`, { hint })
  }
  return key
}

/** Makes a new key file, readable by its owner only, and gives its 32 bytes. One that exists: E_KEY_FILE_EXISTS. */
export async function createKeyFile(path: string, random: RandomBytes): Promise<Uint8Array> {
  const key = random(keyBytes)
  invariant(key.length === keyBytes, `a key file holds ${String(keyBytes)} bytes`)
  const text = `${header}\n${Buffer.from(key).toString('base64')}\n`
  const written = await writeSecretFile(path, Buffer.from(text, 'utf8'), { what: 'key file', overwrite: false })
  if (!written) throw new StrataError('E_KEY_FILE_EXISTS', `there is a file at ${path} already`)
  return key
}
