import { invariant } from '../errors.ts'
import {
  canBeCopiedWhole,
  decodePackTail,
  openDataFooter,
  packTailBytes,
  type DataFooter,
  type PackTail,
  type Piece,
} from '../format/pack.ts'
import { footerGuessBytes } from '../limits.ts'
import type { Repository } from './repository.ts'

/** What the end of a data pack says. */
export interface PackEnd {
  readonly footer: DataFooter
  readonly pieces: readonly Piece[]
  /** Whether it opens in another chain of the set as well. */
  readonly canBeCopiedWhole: boolean
}

/** The end of a pack, sealed as it is stored: open section, footer and trailer, and nothing else. */
export async function readPackEnd({ store }: Repository, name: string, packBytes: number): Promise<Uint8Array> {
  const read = (bytes: number): Promise<Uint8Array> => store.get(name, { offset: packBytes - bytes, length: bytes })
  const guess = await read(Math.min(packBytes, footerGuessBytes))
  const tail = decodePackTail(name, guess, packBytes)
  if (typeof tail === 'number') return await read(tail)
  // A copy, so that what is kept is not the whole guess.
  return guess.slice(guess.length - packTailBytes(tail))
}

/** Its name is part of what authenticates it, so a pack under a foreign name does not open. */
export function openPackEnd(repository: Repository, name: string, packBytes: number, end: Uint8Array): PackEnd {
  const tail: PackTail | number = decodePackTail(name, end, packBytes)
  invariant(typeof tail !== 'number', 'the end has the length that it asked for')
  return {
    footer: openDataFooter(name, tail, repository.indexKeys),
    pieces: tail.pieces,
    canBeCopiedWhole: canBeCopiedWhole(tail),
  }
}
