import type { Manifest } from '../format/manifest.ts'

export interface Moment {
  /** By the store's clock; of a copy, when the point was made that it is a copy of. */
  readonly atMs: number
  readonly isCopy: boolean
}

/** Which moment of the machine a point holds. */
export function momentOf(manifest: Manifest): Moment {
  const { createdAt, copyOf }: Manifest & { readonly copyOf?: { readonly createdAt: string } } = manifest
  return { atMs: Date.parse(copyOf?.createdAt ?? createdAt), isCopy: copyOf !== undefined }
}
