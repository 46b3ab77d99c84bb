import { blockBytesMin, nbdRequestBytesMax } from '@strata/shared/limits.ts'
import type { DiskImage } from '../image/disk-image.ts'
import { transmissionFlags, type BlockSizes } from './protocol.ts'

/** A disk that clients may open. */
export interface NbdExport {
  readonly name: string
  /** For people. */
  readonly description: string
  readonly image: DiskImage
}

export function blockSizesOf({ image }: NbdExport): BlockSizes {
  return { minimum: 1, preferred: Math.min(image.blockBytes, blockBytesMin), maximum: nbdRequestBytesMax }
}

/** Nothing changes, so it does not matter which of several connections is asked. */
export function flagsOf(isStructured: boolean): number {
  const { hasFlags, readOnly, canMultiConn, sendDf } = transmissionFlags
  return hasFlags | readOnly | canMultiConn | (isStructured ? sendDf : 0)
}
