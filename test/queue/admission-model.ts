import { invariant } from '@strata/shared/errors.ts'
import type { Admitted, Upload } from '@strata/workers/gateway/admission.ts'

type Reason = Extract<Admitted, { admitted: false }>['reason']

interface Dimension {
  readonly what: Reason
  readonly max: number
  readonly of: (upload: Upload) => number
}

/** What `Admission` decides as long as nothing runs out, nobody gives up, and lines are short: docs/decisions/0017. */
export class AdmissionModel {
  readonly #dimensions: readonly Dimension[]
  readonly #perSessionMax: number
  readonly permits: Upload[] = []
  /** The latest that each session was refused, in the order in which they were refused first. */
  readonly waitingSessions: Upload[] = []
  readonly waitingTenants: string[] = []

  constructor(bytesMax: number, segmentsMax: number, perSessionMax: number) {
    this.#dimensions = [
      { what: 'bytes', max: bytesMax, of: ({ bytes }) => bytes },
      { what: 'segments', max: segmentsMax, of: () => 1 },
    ]
    this.#perSessionMax = perSessionMax
  }

  /** The reason to refuse, or undefined. */
  admit(upload: Upload): Reason | undefined {
    if (this.permits.some((permit) => isSame(permit, upload))) return undefined
    if (this.#ofSession(upload).length >= this.#perSessionMax) return 'session'
    const lacking = this.#dimensions.find((dimension) => !this.#fits(upload, dimension))
    if (lacking === undefined) {
      this.permits.push(upload)
      remove(this.waitingSessions, (other) => other.session === upload.session)
      remove(this.waitingTenants, (other) => other === upload.tenant)
      return undefined
    }
    this.#refuse(upload)
    return lacking.what
  }

  release(upload: Upload): void {
    remove(this.permits, (permit) => isSame(permit, upload))
  }

  lose(): void {
    for (const list of [this.permits, this.waitingSessions, this.waitingTenants]) list.length = 0
  }

  total({ of }: Pick<Dimension, 'of'>, uploads: readonly Upload[] = this.permits): number {
    return uploads.reduce((sum, upload) => sum + of(upload), 0)
  }

  ofTenant(tenant: string): Upload[] {
    return this.permits.filter((permit) => permit.tenant === tenant)
  }

  #ofSession({ session }: Upload): Upload[] {
    return this.permits.filter((permit) => permit.session === session)
  }

  #fits(upload: Upload, dimension: Dimension): boolean {
    const mine = this.ofTenant(upload.tenant)
    const mates = before(this.#lineOf(upload.tenant), ({ session }) => session === upload.session)
    const isFirst = mine.length + mates.length === 0
    const others = before(this.waitingTenants, (tenant) => mine.length === 0 && tenant === upload.tenant)
    const withMates = this.total(dimension, [...mates, upload])
    const firstOfOthers = others.map((tenant) => this.#firstOf(tenant))
    const free = dimension.max - this.total(dimension) - withMates - this.total(dimension, firstOfOthers)
    return free >= (isFirst ? 0 : this.total(dimension, mine) + withMates)
  }

  #refuse(upload: Upload): void {
    const known = this.waitingSessions.findIndex(({ session }) => session === upload.session)
    if (known === -1) this.waitingSessions.push(upload)
    else this.waitingSessions[known] = upload
    const hasNothing = this.ofTenant(upload.tenant).length === 0
    if (hasNothing && !this.waitingTenants.includes(upload.tenant)) this.waitingTenants.push(upload.tenant)
  }

  #lineOf(tenant: string): Upload[] {
    return this.waitingSessions.filter((waiting) => waiting.tenant === tenant)
  }

  #firstOf(tenant: string): Upload {
    const first = this.#lineOf(tenant)[0]
    invariant(first !== undefined, 'a tenant waits when one of its sessions does')
    return first
  }
}

function isSame(one: Upload, other: Upload): boolean {
  return one.session === other.session && one.segment === other.segment
}

function before<T>(line: readonly T[], isHere: (one: T) => boolean): readonly T[] {
  const place = line.findIndex(isHere)
  return place === -1 ? line : line.slice(0, place)
}

function remove<T>(list: T[], isMeant: (one: T) => boolean): void {
  const place = list.findIndex(isMeant)
  if (place !== -1) list.splice(place, 1)
}
