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

/** A disk that can be changed. What was written is read from then on, by everybody. */
export interface WritableImage extends DiskImage {
  /** The range lies on the disk and has at least one byte. */
  write(offset: number, bytes: Uint8Array): Promise<void>
  /** The range reads as zeros then, and takes no space where that can be. */
  zero(offset: number, length: number): Promise<void>
  /** When it resolves, what was written before survives a crash. */
  flush(): Promise<void>
}

export function isWritable(image: DiskImage): image is WritableImage {
  return 'write' in image
}

/** Parts in order, which together have the length that was asked for. */
export interface ImageRead {
  readonly parts: readonly ImagePart[]
  /** Memory that others cannot have until then. */
  readonly heldBytes: number
  /** Gives the memory of the parts back. To be called once, when nobody reads them any more. */
  release(): void
}

export type ImagePart = { readonly bytes: Uint8Array } | { readonly zeroBytes: number }

export interface Extent {
  readonly lengthBytes: number
  /** Zeros, of which nothing is stored. */
  readonly isZero: boolean
}

/** A part of what was read; all parts together have `to` bytes at least. */
export function* cutParts(parts: readonly ImagePart[], from: number, to: number): Generator<ImagePart> {
  let at = 0
  for (const part of parts) {
    const length = 'bytes' in part ? part.bytes.length : part.zeroBytes
    const [start, end] = [Math.max(from - at, 0), Math.min(to - at, length)]
    if (start < end) yield 'bytes' in part ? { bytes: part.bytes.subarray(start, end) } : { zeroBytes: end - start }
    at += length
  }
}

/** Adds an extent to a list in which neighbours differ. */
export function addExtent(extents: Extent[], lengthBytes: number, isZero: boolean): void {
  const last = extents.at(-1)
  if (last?.isZero === isZero) extents[extents.length - 1] = { lengthBytes: last.lengthBytes + lengthBytes, isZero }
  else extents.push({ lengthBytes, isZero })
}
