import { dataPackTailBytesMax } from '@strata/shared/format/pack.ts'
import { recordOverheadBytes } from '@strata/shared/format/record.ts'
import { segmentBytesMax, segmentEntriesMax, smallSegmentBytesMax } from '@strata/shared/limits.ts'
import type { SegmentSize } from '@strata/shared/queue/ingest-job.ts'

const overheadBytesMax = segmentEntriesMax * recordOverheadBytes + dataPackTailBytesMax

/** What the pack of any segment of a size fits in; pages of it that no pack reaches cost no memory. */
export const packRoomBytes: Readonly<Record<SegmentSize, number>> = {
  large: segmentBytesMax + overheadBytesMax,
  small: smallSegmentBytesMax + overheadBytesMax,
}
