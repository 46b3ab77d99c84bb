import { hasCode, StrataError } from '@strata/shared/errors.ts'
import { equalBytes } from '@strata/shared/format/bytes.ts'
import { documentObjectBytesMax } from '@strata/shared/format/document.ts'
import type { ObjectLock, ObjectStore } from '@strata/shared/store/object-store.ts'

/** Creates a document that never changes. Another copy may have been quicker with it; E_COPY_DIFFERS: with another one. */
export async function putOnce(store: ObjectStore, name: string, bytes: Uint8Array, lock?: ObjectLock): Promise<void> {
  try {
    await store.put(name, [bytes], { ifAbsent: true, lock })
  } catch (error) {
    if (!hasCode(error, 'E_OBJECT_EXISTS')) throw error
    await requireSame(store, name, bytes)
  }
}

/** Error: E_COPY_DIFFERS. */
export async function requireSame(store: ObjectStore, name: string, bytes: Uint8Array): Promise<void> {
  const there = await store.get(name, { bytesMax: documentObjectBytesMax })
  if (!equalBytes(there, bytes)) {
    throw new StrataError('E_COPY_DIFFERS', `${name} is another one in ${store.description} than in the source`)
  }
}
