import { open } from 'node:fs/promises'
import { StrataError, systemErrorCode, type ErrorCode } from '@strata/shared/errors.ts'

export interface SmallFile {
  readonly path: string
  /** How the person calls the file. */
  readonly given: string
  /** `the policy` */
  readonly what: string
  readonly bytesMax: number
  /** For what is too long. */
  readonly invalid: ErrorCode
}

/** The text of a file that somebody wrote, whose length nobody knows: no more of it is read than it may have. */
export async function readSmallFile({ path, given, what, bytesMax, invalid }: SmallFile): Promise<string> {
  const buffer = new Uint8Array(bytesMax + 1)
  let filled = 0
  try {
    await using file = await open(path)
    while (filled < buffer.length) {
      const { bytesRead } = await file.read(buffer, filled, buffer.length - filled)
      if (bytesRead === 0) return Buffer.from(buffer.subarray(0, filled)).toString('utf8')
      filled += bytesRead
    }
  } catch (error) {
    const reason = systemErrorCode(error)
    if (reason === undefined) throw error
    throw new StrataError('E_USAGE', `${what} ${given} cannot be read (${reason})`, { cause: error })
  }
  throw new StrataError(invalid, `${given} is longer than ${String(bytesMax)} bytes`)
}
