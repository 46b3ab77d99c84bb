import { isDeepStrictEqual } from 'node:util'
import { StrataError } from '../../errors.ts'
import { hasNumber, numbersIn, rangesOf } from '../../format/number-ranges.ts'
import { retentionType, type Retention, type retentionSchema } from '../../format/retention.ts'
import { asId, type SetId } from '../../types.ts'
import { whileOthersAreFaster } from '../registry/change.ts'
import { instant } from '../registry/registry.ts'
import { isUsable, VersionedDocuments, type Versioned } from '../registry/versioned.ts'
import type { Repository } from '../repository.ts'

/** What a ledger says of a set; a change gives a new one. */
export type RetentionState = Omit<Retention, 'strata' | 'version' | 'set' | 'changedAt' | 'change'>

const nothing: RetentionState = { marked: [], gone: [], held: [], heldSet: null, collected: [] }

/** The state after a version; version 0: nothing was ever said of the set. */
export interface LedgerState {
  readonly version: number
  readonly state: RetentionState
  /** When the version was made, by the store's clock. */
  readonly changedAt: string | undefined
}

export interface LedgerChange {
  readonly state: RetentionState
  /** What changes and why, for people. */
  readonly change: string
}

/** The ledgers of a tenant's sets. */
export class RetentionLedger {
  readonly #repository: Repository
  readonly #documents: VersionedDocuments<typeof retentionSchema>

  constructor(repository: Repository) {
    this.#repository = repository
    this.#documents = new VersionedDocuments(repository, retentionType)
  }

  /** Where nothing was ever said: one request. Else a listing of the set's versions, and the newest of them. */
  async read(set: SetId): Promise<LedgerState> {
    return stateOf(await this.#documents.latest(set))
  }

  /** Of all sets of which anything was ever said; those that cannot be read are errors. One listing, a request each. */
  async readAll(): Promise<Map<SetId, LedgerState>> {
    const states = new Map<SetId, LedgerState>()
    for await (const found of this.#documents.list()) {
      if (!isUsable(found)) throw found.error
      states.set(asId<SetId>(found.id), stateOf(found))
    }
    return states
  }

  /**
   * Makes the state that `change` gives for the one that holds; undefined: nothing is to be changed. When somebody else is
   * quicker, `change` is asked again with what holds then, so that no two changes are made of one state.
   */
  async change(
    set: SetId,
    change: (before: LedgerState) => LedgerChange | undefined | Promise<LedgerChange | undefined>,
  ): Promise<LedgerState> {
    return await whileOthersAreFaster(async () => {
      const before = await this.read(set)
      const changed = await change(before)
      if (changed === undefined || isDeepStrictEqual(changed.state, before.state)) return before
      const changedAt = instant(await this.#repository.store.now())
      const document: Retention = {
        strata: 'retention',
        version: 1,
        set,
        changedAt,
        change: changed.change,
        ...changed.state,
      }
      return stateOf(await this.#documents.append(set, before.version, document))
    })
  }
}

function stateOf(stored: Versioned<Retention> | undefined): LedgerState {
  if (stored === undefined) return { version: 0, state: nothing, changedAt: undefined }
  const { marked, gone, held, heldSet, collected, changedAt } = stored.document
  return { version: stored.version, state: { marked, gone, held, heldSet, collected }, changedAt }
}

// ── pure changes ───────────────────────────────────────────────────────────────────────────────────────────────────

export interface Mark {
  readonly since: string
  readonly dueAt: string
  readonly why: string
}

export function markOf({ marked }: RetentionState, sequence: number): Mark | undefined {
  return marked.find(({ numbers }) => hasNumber(numbers, sequence))
}

export function isGone({ gone }: RetentionState, sequence: number): boolean {
  return hasNumber(gone, sequence)
}

export function withMark(state: RetentionState, numbers: Iterable<number>, mark: Mark): RetentionState {
  const ranges = rangesOf(numbers)
  if (ranges.length === 0) return state
  return { ...state, marked: [...state.marked, { numbers: ranges, ...mark }] }
}

export function withoutMarks(state: RetentionState, numbers: Iterable<number>): RetentionState {
  const taken = new Set(numbers)
  const marked = state.marked.flatMap((group) => {
    const left = rangesOf([...numbersIn(group.numbers)].filter((number) => !taken.has(number)))
    return left.length === 0 ? [] : [{ ...group, numbers: left }]
  })
  return { ...state, marked }
}

/** Points that are gone are marked no more. */
export function withGone(state: RetentionState, numbers: Iterable<number>): RetentionState {
  const all = [...numbers]
  const gone = rangesOf([...numbersIn(state.gone), ...all])
  return { ...withoutMarks(state, all), gone }
}

/** A point that is held is not on its way out any more. One that is gone: E_POINT_RETIRED. */
export function withHold(state: RetentionState, sequence: number, note: string, since: string): RetentionState {
  if (isGone(state, sequence)) throw new StrataError('E_POINT_RETIRED', 'a point that is gone cannot be held')
  const others = state.held.filter((hold) => hold.sequence !== sequence)
  const held = [...others, { sequence, note, since }].sort((a, b) => a.sequence - b.sequence)
  return { ...withoutMarks(state, [sequence]), held }
}

/** All points of the set, and those that will be. */
export function withSetHold(state: RetentionState, note: string, since: string): RetentionState {
  return { ...state, marked: [], heldSet: { note, since } }
}

export function withoutSetHold(state: RetentionState): RetentionState {
  return { ...state, heldSet: null }
}

export function withoutHold(state: RetentionState, sequence: number): RetentionState {
  return { ...state, held: state.held.filter((hold) => hold.sequence !== sequence) }
}

export function withCollected(state: RetentionState, collected: Retention['collected'][number]): RetentionState {
  const others = state.collected.filter(({ chain }) => chain !== collected.chain)
  return { ...state, collected: [...others, collected] }
}
