import { StrataError } from '@strata/shared/errors.ts'
import { decodeEither, documentObjectBytesMax } from '@strata/shared/format/document.ts'
import { manifestDigest, manifestType } from '@strata/shared/format/manifest.ts'
import { manifestName } from '@strata/shared/format/names.ts'
import { voidType } from '@strata/shared/format/void.ts'
import type { Repository } from '@strata/shared/repository/repository.ts'
import { RetentionLedger, withGone } from '@strata/shared/repository/retention/ledger.ts'
import type { ObjectLock } from '@strata/shared/store/object-store.ts'
import type { SetId } from '@strata/shared/types.ts'
import { isDamage } from '../../read/damage.ts'
import type { KnownNumber } from './plan-copy.ts'
import { putOnce } from './put-once.ts'

/** What numbers of a set become visible by, in the copy. */
interface Sides {
  readonly source: Repository
  readonly target: Repository
  readonly set: SetId
}

/** Says of points that their data is not in the copy: before their manifests are. */
export async function sayGone({ target, set }: Sides, numbers: readonly KnownNumber[]): Promise<void> {
  const gone = numbers.filter(({ point }) => point !== undefined).map(({ sequence }) => sequence)
  if (gone.length === 0) return
  const change = `${String(gone.length)} points come without their data: not kept here, gone in the source, or damaged there`
  await new RetentionLedger(target).change(set, ({ state }) => ({ state: withGone(state, gone), change }))
}

/** Brings a manifest or void into the copy; gives the damage where it cannot be read. @param lock what it is put with */
export async function putNumber(
  { source, target, set }: Sides,
  { sequence, digest }: KnownNumber,
  lock?: ObjectLock,
): Promise<StrataError | undefined> {
  const name = manifestName(source.placeOf(set), sequence)
  let bytes: Uint8Array
  try {
    bytes = await source.store.get(name, { bytesMax: documentObjectBytesMax })
    const document = decodeEither(manifestType, voidType, name, bytes, source.indexKeys)
    if (document.sequence !== sequence || manifestDigest(bytes) !== digest) throw replacedError(name)
  } catch (error) {
    if (!isDamage(error)) throw error
    return error
  }
  await putOnce(target.store, name, bytes, lock)
  return undefined
}

/** @param what is another thing than the catalogue, or a look before, has said */
export function replacedError(what: string): StrataError {
  return new StrataError('E_FORMAT_DAMAGED', `${what} is not what it was; somebody has replaced it`)
}
