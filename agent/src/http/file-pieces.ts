import { open, type FileHandle } from 'node:fs/promises'
import { StrataError, systemErrorCode } from '@strata/shared/errors.ts'
import { uploadPieceBytesMax } from '@strata/shared/limits.ts'

/** The bytes of a file of exactly `bytes` bytes, piece by piece. `progress` hears that more was asked for. E_HANDOVER_IO. */
export async function* filePieces(
  { path, bytes }: { readonly path: string; readonly bytes: number },
  progress: () => void,
): AsyncGenerator<Uint8Array> {
  const handle = await reading(path, async () => await open(path))
  try {
    yield* piecesOf(handle, path, bytes, progress)
  } finally {
    await handle.close()
  }
}

async function* piecesOf(
  handle: FileHandle,
  path: string,
  bytes: number,
  progress: () => void,
): AsyncGenerator<Uint8Array> {
  const { size } = await reading(path, async () => await handle.stat())
  if (size !== bytes) throw fileError(path, `it has ${String(size)} bytes, not ${String(bytes)}`)
  for (let sent = 0; sent < bytes;) {
    const length = Math.min(uploadPieceBytesMax, bytes - sent)
    const buffer = Buffer.allocUnsafe(length)
    const at = sent
    const { bytesRead } = await reading(path, async () => await handle.read(buffer, 0, length, at))
    if (bytesRead === 0) throw fileError(path, `it ended after ${String(sent)} of ${String(bytes)} bytes`)
    sent += bytesRead
    yield buffer.subarray(0, bytesRead)
    // The connection has asked for more.
    progress()
  }
}

async function reading<Result>(path: string, read: () => Promise<Result>): Promise<Result> {
  try {
    return await read()
  } catch (error) {
    throw fileError(path, systemErrorCode(error) ?? String(error), error)
  }
}

function fileError(path: string, why: string, cause?: unknown): StrataError {
  return new StrataError('E_HANDOVER_IO', `the segment in ${path} cannot be sent: ${why}`, { cause })
}
