import { isDeepStrictEqual } from 'node:util'
import { hasCode, StrataError } from '../../errors.ts'
import type { Warning } from '../../format/manifest.ts'
import { hasNumber, numbersIn, rangesOf } from '../../format/number-ranges.ts'
import { retentionType, type Retention, type retentionSchema } from '../../format/retention.ts'
import { asId, type SetId } from '../../types.ts'
import { damageCodes } from '../damage-codes.ts'
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

  /**
   * For whoever only reads points: of a ledger that was damaged or deleted nothing is known, and that must keep nobody from
   * a restore. Whoever deletes goes by `read`.
   */
  async readIfUsable(set: SetId, onWarning: (warning: Warning) => void): Promise<RetentionState> {
    try {
      return (await this.read(set)).state
    } catch (error) {
      if (!hasCode(error, ...damageCodes, 'E_HISTORY_BROKEN')) throw error
      onWarning(unknownRetention(set, error))
      return nothing
    }
  }

  /**
   * Of all sets of which anything was ever said. One listing, a request each.
   * @param onUnreadable told of those that cannot be read, which are left out
   */
  async readAll(onUnreadable: (set: SetId, error: StrataError) => void): Promise<Map<SetId, LedgerState>> {
    const states = new Map<SetId, LedgerState>()
    for await (const found of this.#documents.list()) {
      const set = asId<SetId>(found.id)
      if (isUsable(found)) states.set(set, stateOf(found))
      else onUnreadable(set, found.error)
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

export function unknownRetention(set: SetId, { message }: StrataError): Warning {
  return { code: 'W_RETENTION_UNKNOWN', message: `what retention has let go of set ${set} is not known: ${message}` }
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
