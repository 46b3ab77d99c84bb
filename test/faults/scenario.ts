/**
 * What a seed stands for: a service, its agents and their disks, and rounds in which the agents back up while things
 * go wrong. All of it follows from the seed; what happens when is told by events (the third segment, the end of the
 * session) as far as that can be.
 */
export interface Scenario {
  readonly seed: number
  readonly store: 'directory' | 's3'
  /** Agents put segments into a staging area of their own (S3 alone). */
  readonly staged: boolean
  /** `alone`: one process with a private Redis; `pair`: two gateways that pack, and one process that commits. */
  readonly shape: 'alone' | 'pair'
  /** Sessions live this long instead of 14 days: they expire while they are under way. */
  readonly sessionLifeMs: number | undefined
  readonly agents: readonly AgentPlan[]
  readonly rounds: readonly Round[]
}

export interface AgentPlan {
  readonly name: string
  readonly diskBytes: readonly number[]
}

/** Things go wrong while all agents back up; what was killed in a round comes back in it or with the next one. */
export interface Round {
  /** Before it, for each agent. */
  readonly changes: readonly (readonly Change[])[]
  /** Agents that are to make a full. */
  readonly full: readonly boolean[]
  readonly faults: readonly Fault[]
}

/** Of a disk: `from` and `length` are parts of a thousand. */
export interface Change {
  readonly disk: number
  readonly what: 'overwrite' | 'zero' | 'undo' | 'grow'
  readonly from: number
  readonly length: number
}

export type Fault =
  /** SIGKILL; a service process or Redis is started again after a while. */
  | { readonly kind: 'kill'; readonly whom: Victim; readonly when: When; readonly backAfterMs: number }
  /** SIGSTOP, and SIGCONT after a while. */
  | { readonly kind: 'pause'; readonly whom: Victim; readonly when: When; readonly forMs: number }
  /** A process kills itself in the middle of the n-th call that matches. */
  | { readonly kind: 'die'; readonly whom: Exclude<Victim, RedisVictim>; readonly at: DeadlyCall }
  /** What goes wrong between agents and gateways, from the n-th request of this event on, for so many requests. */
  | { readonly kind: 'network'; readonly how: LinkFault; readonly at: Requests }
  /** The same between the service (and uploads to staging) and the store. */
  | { readonly kind: 'store'; readonly how: LinkFault; readonly at: Requests }
  | { readonly kind: 'full disk'; readonly where: 'hand-over' | 'state' | 'store'; readonly freeBytes: number }
  | { readonly kind: 'clock'; readonly whom: 'agents' | 'service'; readonly afterMs: number; readonly shiftMs: number }
  /** The disk of an agent is written to while it is read. */
  | { readonly kind: 'write'; readonly agent: number; readonly afterMs: readonly number[] }
  /** An agent's state is copied to a second machine with a disk of its own, which backs up beside the first one. */
  | { readonly kind: 'clone'; readonly agent: number; readonly sameMachine: boolean; readonly afterMs: number }
  /** The agent's journal of the session under way loses its end, as in a power cut. */
  | { readonly kind: 'torn journal'; readonly agent: number; readonly keepThousandth: number }
  /** The agent's digests are gone, or are those of another generation. */
  | { readonly kind: 'lost digests'; readonly agent: number }

export interface RedisVictim {
  readonly redis: 'keeps its data' | 'loses its data'
}
export type Victim = { readonly agent: number } | { readonly server: number } | RedisVictim | 'everything'

/** What an agent asks of a gateway. */
export type GatewayEvent = 'open' | 'digests' | 'upload' | 'segment' | 'end' | 'events' | 'any'
export type StoreEvent = 'put' | 'get' | 'list' | 'delete' | 'any'

export type When =
  { readonly event: GatewayEvent; readonly nth: number; readonly delayMs: number } | { readonly afterMs: number }

export interface Requests {
  readonly event: GatewayEvent | StoreEvent
  readonly from: number
  readonly count: number
}

export type LinkFault = 'cut' | 'cut upload' | 'lose answer' | 'cut answer' | 'hang' | '500' | '503' | '429'

export interface DeadlyCall {
  /** Of node:fs and node:fs/promises. */
  readonly call: 'link' | 'rename' | 'unlink' | 'appendFileSync' | 'writeFileSync' | 'writeSync' | 'renameSync'
  /** Its path has this in it. */
  readonly path: string
  readonly nth: number
  /** `half`: half of the bytes are written. */
  readonly when: 'before' | 'after' | 'half'
}

/** What the machine must allow beside a Redis. */
export function needs({ store, rounds }: Scenario): { readonly s3: boolean; readonly root: boolean } {
  const mounts = rounds.some(({ faults }) => faults.some(({ kind }) => kind === 'full disk'))
  return { s3: store === 's3', root: mounts }
}
