import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { StrataError, systemErrorCode } from '@strata/shared/errors.ts'
import { concatBytes, equalBytes } from '@strata/shared/format/bytes.ts'
import { keyBytes } from '@strata/shared/format/xaes.ts'
import { idToBytes } from '@strata/shared/types.ts'
import { handOverError } from './hand-over-errors.ts'

/**
 * One session's part of the hand-over directory: its segments, and its data key, which lies there only as long as the
 * session runs. Jobs name both by their names alone, and a worker looks for them in its own hand-over directory: so
 * whoever can write to Redis cannot make it read another file.
 */
export interface SessionHandOver {
  readonly name: string
  readonly path: string
}

const keyFile = 'key'

/** Error: E_HANDOVER_SPACE. */
export async function createSessionHandOver(
  directory: string,
  { keyId, key }: { readonly keyId: string; readonly key: Uint8Array },
): Promise<SessionHandOver> {
  try {
    const path = await mkdtemp(join(directory, 'session-'))
    await writeFile(join(path, keyFile), concatBytes([idToBytes(keyId), key]), { mode: 0o600 })
    return { name: basename(path), path }
  } catch (error) {
    const reason = systemErrorCode(error) ?? String(error)
    throw new StrataError('E_HANDOVER_SPACE', `a session's directory could not be made in ${directory}: ${reason}`, {
      cause: error,
    })
  }
}

export async function removeSessionHandOver({ path }: SessionHandOver): Promise<void> {
  await rm(path, { recursive: true, force: true })
}

/**
 * The session's data key, if it is the one that its document names. Else, and when it is gone with its session:
 * E_HANDOVER_LOST; E_HANDOVER_IO.
 */
export async function readDataKey(directory: string, session: string, keyId: string): Promise<Uint8Array> {
  const path = join(directory, session, keyFile)
  try {
    const bytes = new Uint8Array(await readFile(path))
    const id = idToBytes(keyId)
    if (bytes.length === id.length + keyBytes && equalBytes(bytes.subarray(0, id.length), id)) {
      return bytes.slice(id.length)
    }
    throw new StrataError('E_HANDOVER_LOST', `${path} is not the data key of its session`)
  } catch (error) {
    throw handOverError(path, error)
  }
}
