import { hasCode, StrataError } from '@strata/shared/errors.ts'
import type { Manifest, Warning } from '@strata/shared/format/manifest.ts'
import { listCatalogued } from '@strata/shared/repository/catalog/read-catalog.ts'
import { isReadable, isVoid, listPoints, type PointEntry } from '@strata/shared/repository/points.ts'
import { damageCodes } from '@strata/shared/repository/damage-codes.ts'
import type { Repository } from '@strata/shared/repository/repository.ts'
import {
  isGone,
  markOf,
  RetentionLedger,
  unknownRetention,
  type RetentionState,
} from '@strata/shared/repository/retention/ledger.ts'
import { damagedPoints, ScrubLedger } from '@strata/shared/repository/scrub/scrub-ledger.ts'
import { requireSetName } from '@strata/shared/set-name.ts'
import type { SetId } from '@strata/shared/types.ts'
import { checkHistory, type HistoryDamage } from '../../maintain/verify/history.ts'
import { exitCodes, stopIfInterrupted, type Context, type ExitCode } from '../context.ts'
import { formatBytes, formatCount, formatInstant, shownIdChars } from '../output/bytes.ts'
import { tableLines } from '../output/table.ts'
import { withStore } from '../store.ts'
import { openGivenTenant } from '../unlock.ts'

export interface PointsOptions {
  readonly set?: string
  /** Also those that are gone. */
  readonly all?: boolean
  readonly tenant?: string
}

/**
 * `changing`: kept although the source changed while it was read, as --allow-changing asks for. `damaged`: the last
 * verification of the store says so. `void`: no point, and only there because something is wrong with it, or with what
 * comes before it. `gone`: retention let it go.
 */
type PointState = 'complete' | 'changing' | 'damaged' | 'unreadable' | 'void' | 'gone'

/** One line of the answer. Of a point that cannot be read, and of a void, only its place is known. */
interface ListedPoint {
  readonly point: string | null
  readonly set: string | null
  readonly sequence: number
  readonly chain: string | null
  readonly kind: string | null
  readonly createdAt: string | null
  /** Of a synthetic full, the point that it is a copy of. */
  readonly copyOf: string | null
  /** Where retention is letting it go: from then on it may be gone. */
  readonly goneFrom: string | null
  readonly disks: readonly { readonly name: string; readonly sizeBytes: number }[]
  readonly sizeBytes: number | null
  readonly changedBytes: number | null
  readonly storedBytes: number | null
  readonly state: PointState
  /** What speaks against it, or against what comes before it in its set. */
  readonly problems: readonly Problem[]
}

type Problem = Pick<HistoryDamage, 'code' | 'message'>

/**
 * `strata points`: from manifests alone. The list is complete also when something is wrong with it; the exit code and
 * standard error tell of that.
 */
export async function points(context: Context, options: PointsOptions): Promise<ExitCode> {
  const setName = options.set === undefined ? undefined : requireSetName(options.set)
  return await withStore(context, async (store) => {
    const { repository } = await openGivenTenant(context, store, options.tenant)
    const set = setName === undefined ? undefined : repository.setIdOf(setName)
    const tell = ({ code, message }: Warning): void => {
      context.reporter.warning(`${code}: ${message}`)
    }
    const ledgers = await retentionOf(repository, set, tell)
    const bySet = new Map<SetId, PointEntry[]>()
    // Of one set each manifest is read, so that one which was replaced is noticed.
    const numbers = set === undefined ? listCatalogued(repository) : listPoints(repository, set)
    for await (const entry of numbers) {
      stopIfInterrupted(context.signal)
      const entries = bySet.get(entry.set)
      if (entries === undefined) bySet.set(entry.set, [entry])
      else entries.push(entry)
    }
    const list: ListedPoint[] = []
    for (const [id, entries] of bySet) {
      const known = { retention: ledgers.get(id), damaged: await damagedOf(context, repository, id) }
      const listed = listSet(entries, setName, known)
      list.push(
        ...listed.filter(({ state, problems }) => options.all === true || state !== 'gone' || problems.length > 0),
      )
    }
    if (setName !== undefined && list.length === 0) {
      throw new StrataError('E_SET_UNKNOWN', `there is no point of a set '${setName}'`)
    }
    report(context, list)
    requireSound(list)
    return exitCodes.success
  })
}

/** What is known of a set's points besides their manifests. */
interface Known {
  readonly retention: RetentionState | undefined
  readonly damaged: ReadonlySet<number>
}

/** The list is complete also where nobody can say what is damaged. */
async function damagedOf({ reporter }: Context, repository: Repository, set: SetId): Promise<ReadonlySet<number>> {
  try {
    const state = await new ScrubLedger(repository).read(set)
    return state === undefined ? new Set() : damagedPoints(state)
  } catch (error) {
    if (!hasCode(error, ...damageCodes, 'E_FORMAT_NEWER', 'E_HISTORY_BROKEN')) throw error
    reporter.warning(`${error.code}: what is known of damage cannot be read: ${error.message}`)
    return new Set()
  }
}

/** Where it cannot be read, the points are listed all the same. */
async function retentionOf(
  repository: Repository,
  set: SetId | undefined,
  onWarning: (warning: Warning) => void,
): Promise<ReadonlyMap<SetId, RetentionState>> {
  const ledger = new RetentionLedger(repository)
  if (set !== undefined) return new Map([[set, await ledger.readIfUsable(set, onWarning)]])
  const ledgers = await ledger.readAll((of, error) => {
    onWarning(unknownRetention(of, error))
  })
  return new Map([...ledgers].map(([of, { state }]) => [of, state]))
}

function listSet(
  entries: readonly PointEntry[],
  askedName: string | undefined,
  { retention, damaged }: Known,
): ListedPoint[] {
  const name = askedName ?? entries.find(isReadable)?.manifest.setName ?? null
  const history = checkHistory(entries)
  let before = 0
  return entries.flatMap((entry) => {
    // What is missing is told with the point that comes after it.
    const problems = history.filter(({ sequence }) => sequence > before && sequence <= entry.sequence)
    before = entry.sequence
    // A backup that never came to its end is nothing to restore.
    if (isVoid(entry) && problems.length === 0) return []
    const told: Problem[] = problems.map(({ code, message }) => ({ code, message }))
    const listed = listPoint(entry, name, retention, told)
    if (!damaged.has(entry.sequence) || !isReadable(entry) || listed.state === 'gone') return listed
    const message = `point number ${String(entry.sequence)} needs bytes of the store that are damaged: see strata verify --rolling`
    return { ...listed, problems: [...told, { code: 'E_POINT_DAMAGED', message }], state: 'damaged' as const }
  })
}

function listPoint(
  entry: PointEntry,
  set: string | null,
  retention: RetentionState | undefined,
  problems: readonly Problem[],
): ListedPoint {
  const { sequence } = entry
  if (!isReadable(entry)) {
    const unknown = {
      chain: null,
      kind: null,
      createdAt: null,
      copyOf: null,
      goneFrom: null,
      disks: [],
      sizeBytes: null,
      changedBytes: null,
      storedBytes: null,
    }
    return { point: null, set, sequence, ...unknown, state: isVoid(entry) ? 'void' : 'unreadable', problems }
  }
  const { manifest } = entry
  return {
    point: manifest.point,
    set,
    sequence,
    chain: manifest.chain,
    kind: manifest.kind,
    createdAt: manifest.createdAt,
    copyOf: manifest.copyOf?.point ?? null,
    goneFrom: retention === undefined ? null : (markOf(retention, sequence)?.dueAt ?? null),
    disks: manifest.disks.map(({ name, sizeBytes }) => ({ name, sizeBytes })),
    sizeBytes: manifest.disks.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0),
    changedBytes: manifest.statistics.changedBytes,
    storedBytes: manifest.statistics.storedBytes,
    state: stateOf(manifest, retention),
    problems,
  }
}

function stateOf({ consistency, sequence }: Manifest, retention: RetentionState | undefined): PointState {
  if (retention !== undefined && isGone(retention, sequence)) return 'gone'
  return consistency === 'changing' ? 'changing' : 'complete'
}

/** A list with something wrong in it was told in full; now it is said that it is no clean one. */
function requireSound(list: readonly ListedPoint[]): void {
  const problems = list.flatMap((point) => point.problems)
  const first = problems.find(({ code }) => code === 'E_HISTORY_BROKEN') ?? problems[0]
  if (first === undefined) return
  const more = problems.length === 1 ? '' : ` (and ${formatCount(problems.length - 1, 'other problem')})`
  throw new StrataError(first.code, first.message + more)
}

function report({ reporter }: Context, list: readonly ListedPoint[]): void {
  reporter.result(list, list.length === 0 ? [] : table(list))
  if (list.length === 0) reporter.note('There is no point yet.')
  for (const point of list) {
    for (const { code, message } of point.problems) {
      reporter.warning(`${code}: set '${point.set ?? '?'}': ${message}`)
    }
  }
}

function table(list: readonly ListedPoint[]): string[] {
  const rows = list.map((point) => [
    point.point?.slice(0, shownIdChars) ?? `number ${String(point.sequence)}`,
    point.set ?? '?',
    point.copyOf === null ? (point.kind ?? '?') : 'full, synthetic',
    point.createdAt === null ? '?' : formatInstant(point.createdAt),
    size(point.sizeBytes),
    size(point.changedBytes),
    size(point.storedBytes),
    shownState(point),
  ])
  return tableLines(
    [
      { title: 'POINT' },
      { title: 'SET' },
      { title: 'KIND' },
      { title: 'WHEN' },
      { title: 'SIZE', align: 'right' },
      { title: 'CHANGED', align: 'right' },
      { title: 'STORED', align: 'right' },
      { title: 'STATE' },
    ],
    rows,
  )
}

function shownState({ state, goneFrom, problems }: ListedPoint): string {
  const going = goneFrom === null ? state : `${state}, goes ${formatInstant(goneFrom).slice(0, 'YYYY-MM-DD'.length)}`
  return problems.length === 0 ? going : `${going} !`
}

function size(bytes: number | null): string {
  return bytes === null ? '?' : formatBytes(bytes)
}
