import type {
  BasePoint,
  Consistency,
  DiskDescription,
  DiskIdentity,
  MachineDescription,
  PointKind,
  Warning,
} from '../format/manifest.ts'
import type { WantedBlocks } from '../format/session.ts'
import type { StrataError } from '../errors.ts'
import type { ChainId, SessionId, SetId } from '../types.ts'

/**
 * What an agent needs of the service, whatever lies between them. The agent holds neither Redis nor store credentials;
 * all of both lies behind this interface.
 *
 *   open → presentHistory? → (baseDigests | send)* → finish | abandon
 */
export interface Uplink {
  /** Opens a session for a set. Nothing of it is visible until `finish` resolves. */
  open(request: OpenRequest): Promise<OpenedSession>

  /**
   * Goes on with the session that an earlier run has opened, as far as that came. Absent where a session ends with the
   * run that opened it.
   */
  resume?(earlier: EarlierSession): Promise<ResumedSession>
}

export interface EarlierSession {
  readonly set: SetId
  readonly session: SessionId
  readonly sequenceAtOpen: number
}

/** `over`: it was given up, has expired, or could not become a point. */
export type ResumedSession =
  | { readonly state: 'open'; readonly session: OpenedSession }
  | { readonly state: 'committed'; readonly point: CommittedPoint }
  | { readonly state: 'over'; readonly why: StrataError }

export interface OpenRequest {
  readonly setName: string
  /** `auto`: incremental where a chain can be continued, else full. */
  readonly kind: PointKind | 'auto'
  readonly disks: readonly OfferedDisk[]
}

export interface OfferedDisk {
  readonly name: string
  readonly sizeBytes: number
  readonly identity: DiskIdentity
  /** When the operator wants a certain block size; otherwise that of the chain, or the default. */
  readonly blockBytes?: number
}

/** A point of the set that this machine has made, or built on: number and manifest digest. */
export type RememberedPoint = Pick<BasePoint, 'sequence' | 'manifestDigest'>

/** What an agent is told of its session; everything here can be sent over a wire. */
export interface SessionInfo {
  readonly session: SessionId
  readonly set: SetId
  readonly setName: string
  readonly chain: ChainId
  /** What `auto` became. */
  readonly kind: PointKind
  readonly base: BasePoint | null
  /** Manifest digest of a point whose blocks are those of the base: the base is a copy of it. */
  readonly baseCopyOf?: string
  /** The set's newest sequence number when the session was opened; 0: none. The point will have a higher one. */
  readonly sequenceAtOpen: number
  /** In the order of the request, with the block size to use. */
  readonly disks: readonly DiskDescription[]
  /** Key for digests of blocks; 32 bytes. Kept in memory only. */
  readonly blockDigestKey: Uint8Array
  /** Key for digests of pages, nodes and content roots; 32 bytes. */
  readonly treeDigestKey: Uint8Array
  /** Key that segments are sealed with on their way through networks and staging; 32 bytes. */
  readonly transportKey: Uint8Array
  /** What the operator should know of how the session was opened, such as why it became a full. */
  readonly warnings: readonly Warning[]
  /** Blocks that are damaged in the store: they are sent whether or not they changed. */
  readonly wanted?: readonly WantedBlocks[]
  /** Block bytes that one segment may hold. */
  readonly segmentBytesMax: number
  /** ISO 8601, by the store's clock: until then the session can be gone on with. */
  readonly expiresAt: string
}

export interface OpenedSession extends SessionInfo {
  /** Directory (of this machine's memory where possible) in which segments are put together. */
  readonly spoolDirectory: string

  /**
   * Says what this machine remembers of the set, at most `disksPerSetMax` points. Resolves with a warning for each of
   * them that the store does not have any more: the store alone cannot show that its newest points were taken away.
   */
  presentHistory(points: readonly RememberedPoint[]): Promise<readonly Warning[]>

  /**
   * Digests of the base's blocks of pages `firstPage … firstPage + pageCount − 1` of a disk, one after the other; past
   * the end of the base's disk it is shorter. An agent asks when its own digest file is missing or of another point.
   */
  baseDigests(disk: number, firstPage: number, pageCount: number): Promise<Uint8Array>

  /**
   * Sends the segment that lies complete in the file `path` of the spool directory. Resolves when it is acknowledged,
   * which means durable; the agent may then remove the file. E_HANDOVER_LOST means: send it again.
   */
  send(segment: number, path: string): Promise<void>

  /** Says that everything has been sent; resolves when the point is visible. */
  finish(end: FinishRequest): Promise<CommittedPoint>

  /** Gives the session up. Nothing of it will be visible. */
  abandon(): Promise<void>
}

export interface FinishRequest {
  readonly segments: number
  /** One a disk, in the order of the session; 32 bytes each. */
  readonly contentRoots: readonly Uint8Array[]
  /** ISO 8601, by the endpoint's clock, when the last complete pass over the disks began. */
  readonly capturedAt: string
  readonly consistency: Consistency
  readonly machine: MachineDescription
  readonly scannedBytes: number
  readonly changedBytes: number
  readonly warnings: readonly Warning[]
}

export interface CommittedPoint {
  readonly point: SessionId
  readonly sequence: number
  readonly manifestDigest: string
  readonly createdAt: string
  readonly storedBytes: number
  /** All warnings of the point, the service's own among them. */
  readonly warnings: readonly Warning[]
}
