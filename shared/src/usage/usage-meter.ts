import type { Clock, RandomBytes } from '../clock.ts'
import type { StoredNote } from '../format/usage.ts'
import { asId, idBytes, idFromBytes, isId, type Id, type SetId, type TenantId } from '../types.ts'
import type { StoreRequest } from '../store/store-requests.ts'
import { addRequest, noUsage, type Usage } from './usage.ts'

/** What was asked of a store for one set on one day; `stored` as of the latest look. */
export interface SetUsage extends Usage {
  stored?: StoredNote
}

/** One day of one tenant. */
export interface TenantDay {
  readonly day: string
  /** `null`: what is about no set, or about several at once. */
  readonly sets: Map<SetId | null, SetUsage>
  isSaved: boolean
}

/**
 * Counts the requests of one process by tenant, set and day, from the names that they are about; in memory, until
 * usage-ledger.ts writes them down. What is about no tenant (a few requests at the start) is left out.
 */
export class UsageMeter {
  /** For whoever writes it down. */
  readonly process: Id
  readonly #clock: Clock
  readonly #tenants = new Map<TenantId, TenantDay[]>()

  constructor(clock: Clock, random: RandomBytes) {
    this.#clock = clock
    this.process = idFromBytes<Id>(random(idBytes))
  }

  /** By the clock of this process. */
  nowMs(): number {
    return this.#clock.nowMs()
  }

  /** A store's observer. */
  readonly onRequest = (request: StoreRequest): void => {
    const about = ownerOf(request.name)
    if (about === undefined) return
    addRequest(this.#usageOf(about.tenant, about.set, about.isUsage), request)
  }

  noteStored(tenant: TenantId, set: SetId, stored: StoredNote): void {
    this.#usageOf(tenant, set).stored = stored
  }

  /** Days of a tenant that have something to be written down. Those that are over are forgotten when they are. */
  unsaved(tenant: TenantId): readonly TenantDay[] {
    return (this.#tenants.get(tenant) ?? []).filter(({ isSaved }) => !isSaved)
  }

  /** Days that are written down and over go. */
  forgetPast(tenant: TenantId): void {
    const today = dayOf(this.#clock.nowMs())
    const days = this.#tenants.get(tenant) ?? []
    this.#tenants.set(
      tenant,
      days.filter(({ day, isSaved }) => !isSaved || day >= today),
    )
  }

  /** @param isQuiet writing things down is counted, too, and is no reason to write again */
  #usageOf(tenant: TenantId, set: SetId | null, isQuiet = false): SetUsage {
    const day = dayOf(this.#clock.nowMs())
    const days = this.#tenants.get(tenant) ?? []
    this.#tenants.set(tenant, days)
    let ofDay = days.find((one) => one.day === day)
    if (ofDay === undefined) {
      ofDay = { day, sets: new Map(), isSaved: true }
      days.push(ofDay)
    }
    if (!isQuiet) ofDay.isSaved = false
    const usage = ofDay.sets.get(set) ?? noUsage()
    ofDay.sets.set(set, usage)
    return usage
  }
}

/** By UTC. */
export function dayOf(ms: number): string {
  return new Date(ms).toISOString().slice(0, 10)
}

/** Folders whose next part is the id of a set. */
const foldersOfSets: ReadonlySet<string> = new Set([
  'points',
  'catalog',
  'sessions',
  'pins',
  'retention',
  'scrub',
  'chains',
])

/** Whom a name, or the beginning of names, is about: in a repository or in a staging area. */
function ownerOf(name: string): { tenant: TenantId; set: SetId | null; isUsage: boolean } | undefined {
  const parts = name.split('/', 4)
  const [tenant = '', set = ''] = parts
  if (isId(tenant)) return { tenant: asId(tenant), set: isId(set) ? asId(set) : null, isUsage: false }
  const [top, owner = '', folder = '', id = ''] = parts
  if (top !== 'tenants' || !isId(owner)) return undefined
  const isOfSet = foldersOfSets.has(folder) && isId(id)
  return { tenant: asId(owner), set: isOfSet ? asId(id) : null, isUsage: folder === 'usage' }
}
