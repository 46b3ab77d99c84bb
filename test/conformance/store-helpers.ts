import assert from 'node:assert/strict'
import { systemRandomBytes } from '@strata/shared/clock.ts'
import { hasCode } from '@strata/shared/errors.ts'
import type { ErrorCode } from '@strata/shared/errors.ts'
import type { ObjectInfo, ObjectStore } from '@strata/shared/store/object-store.ts'

export function bytesOf(count: number): Uint8Array<ArrayBuffer> {
  return new Uint8Array(systemRandomBytes(count))
}

export async function rejects(promise: Promise<unknown>, code: ErrorCode): Promise<void> {
  await assert.rejects(promise, (error: unknown) => {
    assert.ok(hasCode(error, code), `${code} was expected, not ${String(error)}`)
    return true
  })
}

export async function infosIn(store: ObjectStore, prefix: string, startAfter?: string): Promise<ObjectInfo[]> {
  const infos: ObjectInfo[] = []
  for await (const info of store.list(prefix, startAfter === undefined ? {} : { startAfter })) infos.push(info)
  return infos
}

export async function namesIn(store: ObjectStore, prefix: string, startAfter?: string): Promise<string[]> {
  return (await infosIn(store, prefix, startAfter)).map((info) => info.name)
}
