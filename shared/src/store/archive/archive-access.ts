/**
 * Objects that lie in an archive class: listed as others are, and readable only after they were thawed. An ObjectStore
 * knows nothing of it but E_OBJECT_ARCHIVED; whoever wants to read them asks here first.
 */
export interface ArchiveAccess {
  /** Objects below a prefix that cannot be read now, in ascending order, page by page. Those that were thawed can be. */
  listFrozen(prefix: string): AsyncIterable<FrozenObject>

  /** Asks for one to be made readable. It takes hours; asking again does no harm. */
  thaw(object: FrozenObject, speed: ThawSpeed): Promise<void>

  close(): Promise<void>
}

export const thawSpeeds = ['standard', 'bulk', 'expedited'] as const
export type ThawSpeed = (typeof thawSpeeds)[number]

/** What a price and a time are known for: `aws archive`. */
export type ArchiveKind = 's3 archive' | 's3 deep-archive' | 'azure archive'

export interface FrozenObject {
  readonly name: string
  readonly sizeBytes: number
  readonly kind: ArchiveKind
  /** It was asked for already. */
  readonly isThawing: boolean
}
