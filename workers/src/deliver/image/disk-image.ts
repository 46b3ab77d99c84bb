/** The bytes of a disk, wherever they come from, for whoever wants any part of them at any time. */
export interface DiskImage {
  readonly sizeBytes: number
  /** What is read at once costs no more than its smallest part. */
  readonly blockBytes: number
  /** The range lies on the disk and has at least one byte. */
  read(offset: number, length: number): Promise<ImageRead>
  /** What lies in a range, from its beginning on; at most so many extents, so they may end earlier. */
  extents(offset: number, length: number, countMax: number): Promise<Extent[]>
}

/** Parts in order, which together have the length that was asked for. */
export interface ImageRead {
  readonly parts: readonly ImagePart[]
  /** Gives the memory of the parts back. To be called once, when nobody reads them any more. */
  release(): void
}

export type ImagePart = { readonly bytes: Uint8Array } | { readonly zeroBytes: number }

export interface Extent {
  readonly lengthBytes: number
  /** Zeros, of which nothing is stored. */
  readonly isZero: boolean
}

/** Adds an extent to a list in which neighbours differ. */
export function addExtent(extents: Extent[], lengthBytes: number, isZero: boolean): void {
  const last = extents.at(-1)
  if (last?.isZero === isZero) extents[extents.length - 1] = { lengthBytes: last.lengthBytes + lengthBytes, isZero }
  else extents.push({ lengthBytes, isZero })
}
