import { announceLoaded } from '@strata/shared/threads/loaded.ts'

export { sealSegment as default } from './seal-file.ts'

announceLoaded()
