import { endpointOfSet, requireEndpointName } from '@strata/shared/endpoint-name.ts'
import { hasCode, StrataError } from '@strata/shared/errors.ts'
import type { Warning } from '@strata/shared/format/manifest.ts'
import { findPoint } from '@strata/shared/repository/find-point.ts'
import { pointId, type Point } from '@strata/shared/repository/points.ts'
import type { Repository } from '@strata/shared/repository/repository.ts'
import {
  isGone,
  RetentionLedger,
  withHold,
  withoutHold,
  withoutSetHold,
  withSetHold,
  type RetentionState,
} from '@strata/shared/repository/retention/ledger.ts'
import { requireSetName } from '@strata/shared/set-name.ts'
import type { ObjectStore } from '@strata/shared/store/object-store.ts'
import type { SetId } from '@strata/shared/types.ts'
import { holdLegally, releaseLegally } from '../../maintain/locks/legal-hold.ts'
import { setsOf } from '../../maintain/retention/prune-tenant.ts'
import { readSetPoints } from '../../maintain/retention/set-points.ts'
import { setNameOf } from '../../maintain/set-name-of.ts'
import { exitCodes, stopIfInterrupted, type Context, type ExitCode } from '../context.ts'
import { parseNote } from '../input/note.ts'
import { parseWholePoint } from '../input/point-reference.ts'
import { formatCount, formatInstant, shownIdChars } from '../output/bytes.ts'
import { tableLines } from '../output/table.ts'
import { withStore } from '../store.ts'
import { openGivenTenant } from '../unlock.ts'

export interface HoldOptions {
  readonly set?: string
  /** All sets of it that there are. */
  readonly endpoint?: string
  readonly note?: string
  /** Also in the store: a legal hold on everything behind the point. */
  readonly lock?: boolean
  readonly tenant?: string
}

/** What is held: a point, or a set with all that will be backed up of it. */
interface Held {
  readonly set: SetId
  readonly setName: string
  readonly point: { readonly id: string; readonly sequence: number; readonly found: Point } | null
}

/** `strata hold add`: from now on neither policy nor prune lets it go. */
export async function addHold(context: Context, text: string | undefined, options: HoldOptions): Promise<ExitCode> {
  const note = parseNote(options.note ?? '')
  const changed = (state: RetentionState, held: Held, since: string): RetentionState =>
    held.point === null ? withSetHold(state, note, since) : withHold(state, held.point.sequence, note, since)
  return await change(context, text, options, { said: 'held', changed, inStore: holdLegally })
}

/** `strata hold remove`: the policy decides again. */
export async function removeHold(context: Context, text: string | undefined, options: HoldOptions): Promise<ExitCode> {
  const changed = (state: RetentionState, held: Held): RetentionState => {
    const isHeld = held.point === null ? state.heldSet !== null : isPointHeld(state, held.point.sequence)
    if (!isHeld && options.lock !== true) throw new StrataError('E_HOLD_UNKNOWN', `${described(held)} is not held`)
    return held.point === null ? withoutSetHold(state) : withoutHold(state, held.point.sequence)
  }
  return await change(context, text, options, { said: 'held no more', changed, inStore: releaseLegally })
}

function isPointHeld({ held }: RetentionState, sequence: number): boolean {
  return held.some((hold) => hold.sequence === sequence)
}

interface HoldChange {
  readonly said: string
  readonly changed: (state: RetentionState, held: Held, since: string) => RetentionState
  /** Gives the number of objects. */
  readonly inStore: typeof holdLegally
}

async function change(
  context: Context,
  text: string | undefined,
  options: HoldOptions,
  { said, changed, inStore }: HoldChange,
): Promise<ExitCode> {
  if (options.lock === true && text === undefined) throw new StrataError('E_USAGE', '--lock is for a POINT')
  if ([text, options.set, options.endpoint].filter((given) => given !== undefined).length !== 1) {
    throw new StrataError('E_USAGE', 'give a POINT, --set or --endpoint')
  }
  return await withStore(context, async (store) => {
    const { repository } = await openGivenTenant(context, store, options.tenant)
    if (options.lock === true) await requireLocks(store)
    if (options.endpoint !== undefined)
      return await changeEndpoint(context, repository, options.endpoint, { said, changed })
    const held = text === undefined ? wholeSet(repository, options.set ?? '') : await pointOf(repository, text)
    await changeOne(repository, held, { said, changed })
    const { set, setName, point } = held
    const { clock, reporter } = context
    const onWarning = ({ code, message }: Warning): void => {
      reporter.warning(`${code}: ${message}`)
    }
    const objects =
      options.lock === true && point !== null ? await inStore(repository, point.found, { clock, onWarning }) : 0
    const lines = objects === 0 ? [] : [`${formatCount(objects, 'object')} of the store ${said}`]
    reporter.result({ set: setName, setId: set, point: point?.id ?? null, held: said === 'held', objects }, [
      `${described(held)} is ${said}`,
      ...lines,
    ])
    return exitCodes.success
  })
}

type LedgerChange = Pick<HoldChange, 'said' | 'changed'>

async function changeOne(repository: Repository, held: Held, { said, changed }: LedgerChange): Promise<void> {
  const since = new Date(await repository.store.now()).toISOString()
  await new RetentionLedger(repository).change(held.set, ({ state }) => ({
    state: changed(state, held, since),
    change: `${described(held)} is ${said}`,
  }))
}

/** Each set of an endpoint, with all that will be backed up of it. To let go, only those that are held. */
async function changeEndpoint(
  { reporter, signal }: Context,
  repository: Repository,
  given: string,
  change: LedgerChange,
): Promise<ExitCode> {
  const endpoint = requireEndpointName(given)
  const sets: { readonly set: string; readonly setId: SetId }[] = []
  const notHeld: StrataError[] = []
  const nameless: SetId[] = []
  for await (const set of setsOf(repository)) {
    stopIfInterrupted(signal)
    // Where the newest point cannot be read, an older one says whose the set is.
    const setName = (await setNameOf(repository, set)) ?? (await readSetPoints(repository, set)).setName
    if (setName === undefined) nameless.push(set)
    if (setName === undefined || endpointOfSet(setName) !== endpoint) continue
    try {
      await changeOne(repository, { set, setName, point: null }, change)
      sets.push({ set: setName, setId: set })
    } catch (error) {
      if (!hasCode(error, 'E_HOLD_UNKNOWN')) throw error
      notHeld.push(error)
    }
  }
  const [first] = notHeld
  for (const set of nameless) reporter.warning(`set ${set} has no point that can be read, so nobody knows whose it is`)
  if (sets.length === 0 && nameless.length === 0)
    throw first ?? new StrataError('E_SET_UNKNOWN', `there is no point of an endpoint '${endpoint}'`)
  reporter.result(
    { endpoint, sets, held: change.said === 'held' },
    sets.map(({ set }) => `set '${set}' is ${change.said}`),
  )
  if (nameless.length === 0) return exitCodes.success
  const of = formatCount(nameless.length, 'set')
  throw new StrataError('E_POINT_DAMAGED', `${of} may be of '${endpoint}' as well, and stay as they are`, {
    hint: 'strata points --all says what is wrong with them.',
  })
}

/** Before anything is changed. */
async function requireLocks(store: ObjectStore): Promise<void> {
  const lockability = await store.lockability()
  if (lockability.canLock) return
  throw new StrataError('E_STORE_NO_LOCK', `nothing can be held in ${store.description}: ${lockability.why}`)
}

function wholeSet(repository: Repository, name: string): Held {
  const setName = requireSetName(name)
  return { set: repository.setIdOf(setName), setName, point: null }
}

async function pointOf(repository: Repository, text: string): Promise<Held> {
  const point = await findPoint(repository, parseWholePoint(text))
  const { set, sequence, manifest } = point
  return { set, setName: manifest.setName, point: { id: pointId(point), sequence, found: point } }
}

function described({ setName, point }: Held): string {
  return point === null ? `set '${setName}'` : `point ${point.id.slice(0, shownIdChars)} of '${setName}'`
}

/** `strata hold list`: all that is held. */
export async function listHolds(context: Context, options: HoldOptions): Promise<ExitCode> {
  return await withStore(context, async (store) => {
    const { repository } = await openGivenTenant(context, store, options.tenant)
    const sets = options.set === undefined ? setsOf(repository) : [wholeSet(repository, options.set).set]
    const list: { set: string; point: string | null; sequence: number | null; since: string; note: string }[] = []
    for await (const set of sets) {
      const { state } = await new RetentionLedger(repository).read(set)
      if (state.heldSet === null && state.held.length === 0) continue
      const { points, setName = set } = await readSetPoints(repository, set)
      const ids = new Map(points.map(({ sequence, id }) => [sequence, id]))
      if (state.heldSet !== null) list.push({ set: setName, point: null, sequence: null, ...state.heldSet })
      for (const { sequence, since, note } of state.held) {
        if (isGone(state, sequence)) continue
        list.push({ set: setName, point: ids.get(sequence) ?? null, sequence, since, note })
      }
    }
    const rows = list.map(({ set, point, sequence, since, note }) => [
      set,
      sequence === null ? 'all points' : (point?.slice(0, shownIdChars) ?? `number ${String(sequence)}`),
      formatInstant(since),
      note,
    ])
    const columns = [{ title: 'SET' }, { title: 'HELD' }, { title: 'SINCE' }, { title: 'NOTE' }]
    context.reporter.result(list, list.length === 0 ? [] : tableLines(columns, rows))
    if (list.length === 0) context.reporter.note('Nothing is held.')
    return exitCodes.success
  })
}
