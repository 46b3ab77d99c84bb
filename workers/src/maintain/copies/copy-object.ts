import { StrataError } from '@strata/shared/errors.ts'
import { damaged, equalBytes } from '@strata/shared/format/bytes.ts'
import { sealedHash } from '@strata/shared/format/digest.ts'
import { openMapFooter } from '@strata/shared/format/map-footer.ts'
import type { PackKind } from '@strata/shared/format/names.ts'
import { decodePackTail, openDataFooter, packKinds } from '@strata/shared/format/pack.ts'
import { storeCopyObjectBytesMax, storeCopyReadBytesMax } from '@strata/shared/limits.ts'
import type { Repository } from '@strata/shared/repository/repository.ts'
import type { ObjectStore } from '@strata/shared/store/object-store.ts'

/** A pack or page pack that is to be in the copy. */
export interface ChainObject {
  readonly name: string
  readonly kind: PackKind
  readonly sizeBytes: number
}

/** What copying an object holds in memory. */
export function bytesInMemory({ sizeBytes }: ChainObject): number {
  return sizeBytes <= storeCopyReadBytesMax ? sizeBytes : sizeBytes + storeCopyReadBytesMax
}

/**
 * The bytes of an object, each piece of it compared with its hash: what is damaged in the source does not come into the
 * copy. Errors: those of `isDamage`.
 */
export async function readChecked(source: Repository, object: ChainObject): Promise<Uint8Array> {
  const bytes = await readWhole(source.store, object)
  checkPack(source, object, bytes)
  return bytes
}

async function readWhole(store: ObjectStore, { name, sizeBytes }: ChainObject): Promise<Uint8Array> {
  if (sizeBytes > storeCopyObjectBytesMax) {
    throw damaged(name, `has ${String(sizeBytes)} bytes, and no pack has more than ${String(storeCopyObjectBytesMax)}`)
  }
  if (sizeBytes <= storeCopyReadBytesMax) return await store.get(name, { bytesMax: sizeBytes })
  const whole = new Uint8Array(sizeBytes)
  for (let offset = 0; offset < sizeBytes; offset += storeCopyReadBytesMax) {
    const length = Math.min(storeCopyReadBytesMax, sizeBytes - offset)
    whole.set(await store.get(name, { offset, length }), offset)
  }
  return whole
}

/** The scrub of docs/format.md, 9.3, as far as the index keys reach: they make the hashes authentic. */
function checkPack({ indexKeys }: Repository, { name, kind, sizeBytes }: ChainObject, bytes: Uint8Array): void {
  const tail = decodePackTail(name, bytes, sizeBytes)
  if (typeof tail === 'number') throw damaged(name, 'is shorter than its end says')
  if (tail.kind !== packKinds[kind]) {
    throw new StrataError('E_FORMAT_KIND', `${name}: holds a pack of kind ${String(tail.kind)}`)
  }
  if (kind === 'data') openDataFooter(name, tail, indexKeys)
  else openMapFooter(name, tail, indexKeys)
  for (const { offset, length, hash } of tail.pieces) {
    if (equalBytes(sealedHash(bytes.subarray(offset, offset + length)), hash)) continue
    throw damaged(name, `the piece of ${String(length)} bytes at ${String(offset)} is not what was written there`)
  }
}
