import { blockBytesMin, nbdRequestBytesMax } from '@strata/shared/limits.ts'
import { isWritable, type DiskImage } from '../image/disk-image.ts'
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

/**
 * It does not matter which of several connections is asked: nothing changes, or what one has written is read by all, and a flush
 * is of everything.
 */
export function flagsOf({ image }: NbdExport, isStructured: boolean): number {
  const { hasFlags, readOnly, canMultiConn, sendDf, sendFlush, sendFua, sendTrim, sendWriteZeroes } = transmissionFlags
  const changes = isWritable(image) ? sendFlush | sendFua | sendTrim | sendWriteZeroes : readOnly
  return hasFlags | canMultiConn | changes | (isStructured ? sendDf : 0)
}
