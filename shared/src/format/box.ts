import { invariant, StrataError } from '../errors.ts'
import {
  concatBytes,
  equalBytes,
  preambleBytes,
  requireLength,
  requirePreamble,
  requireZero,
  viewOf,
  writePreamble,
} from './bytes.ts'
import { nonceBytes, tagBytes, type SealingKey } from './xaes.ts'

/**
 * Sealed metadata: everything that is not a record is one box under the tenant's index key. docs/format.md, "Box".
 *
 * The context says in plain words what the box is and where it belongs (for a document its object name), and is
 * authenticated: a box put in another's place does not open.
 */
export const boxVersion = 1

export const boxKinds = {
  footer: 1,
  page: 2,
  node: 3,
  root: 4,
  manifest: 5,
  session: 6,
  sessionEnd: 7,
  registry: 8,
  catalog: 9,
} as const
export type BoxKind = (typeof boxKinds)[keyof typeof boxKinds]

const generationAt = preambleBytes
const reservedAt = 12
const nonceAt = 16
const sealedAt = nonceAt + nonceBytes
export const boxOverheadBytes = sealedAt + tagBytes

/** The index keys at hand, by generation. */
export interface IndexKeys {
  readonly currentGeneration: number
  key(generation: number): SealingKey | undefined
  /** They come from a keyring: the tenant may have newer ones by now. */
  readonly mayBeBehind?: boolean
}

export function sealBox(
  kind: BoxKind,
  context: string,
  plaintext: Uint8Array,
  keys: IndexKeys,
  nonce: Uint8Array,
): Uint8Array<ArrayBuffer> {
  const head = new Uint8Array(sealedAt)
  writePreamble(head, 0, boxVersion, kind)
  viewOf(head).setUint32(generationAt, keys.currentGeneration, true)
  head.set(nonce, nonceAt)
  const sealed = requireKey(keys, keys.currentGeneration, context).seal(nonce, aadOf(head, context), plaintext)
  const box = concatBytes([head, sealed])
  invariant(equalBytes(openBox(kind, context, box, keys), plaintext), 'a box opens to what was put in')
  return box
}

/** Opens a box of the wanted kind, or says what is wrong with it: newer, another kind, damaged, sealed for elsewhere. */
export function openBox(kind: BoxKind, context: string, box: Uint8Array, keys: IndexKeys): Uint8Array {
  requirePreamble(context, box, boxVersion, kind)
  requireLength(context, box, boxOverheadBytes)
  const view = viewOf(box)
  requireZero(context, view.getUint32(reservedAt, true))
  const generation = view.getUint32(generationAt, true)
  const head = box.subarray(0, sealedAt)
  try {
    return requireKey(keys, generation, context).open(
      box.subarray(nonceAt, sealedAt),
      aadOf(head, context),
      box.subarray(sealedAt),
    )
  } catch (error) {
    if (error instanceof StrataError && error.code === 'E_SEAL_BROKEN') {
      throw new StrataError('E_SEAL_BROKEN', `${context} does not open: altered, swapped or of another tenant`, {
        cause: error,
      })
    }
    throw error
  }
}

function aadOf(head: Uint8Array, context: string): Uint8Array {
  return concatBytes([head.subarray(0, nonceAt), Buffer.from(context, 'utf8')])
}

function requireKey(keys: IndexKeys, generation: number, context: string): SealingKey {
  const key = keys.key(generation)
  if (key === undefined) {
    if (keys.mayBeBehind === true && generation > keys.currentGeneration) {
      throw new StrataError(
        'E_KEYRING_BEHIND',
        `${context} names index key ${String(generation)}, and the keyring ends with ${String(keys.currentGeneration)}`,
      )
    }
    throw new StrataError(
      'E_SEAL_BROKEN',
      `${context} names index key ${String(generation)}, which this tenant does not have`,
    )
  }
  return key
}
