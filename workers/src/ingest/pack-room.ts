import { dataPackTailBytesMax } from '@strata/shared/format/pack.ts'
import { recordOverheadBytes } from '@strata/shared/format/record.ts'
import { segmentBytesMax, segmentEntriesMax } from '@strata/shared/limits.ts'

/** What the pack of any segment fits in; pages of it that no pack reaches cost no memory. */
export const packRoomBytes = segmentBytesMax + segmentEntriesMax * recordOverheadBytes + dataPackTailBytesMax
