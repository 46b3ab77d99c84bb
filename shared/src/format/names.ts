import { invariant } from '../errors.ts'
import {
  catalogGroups,
  pagePackBytesMax,
  pointsPerSetMax,
  registryVersionsMax,
  segmentsPerSessionMax,
} from '../limits.ts'
import {
  asId,
  idBytes,
  idFromBytes,
  idToBytes,
  isId,
  type ChainId,
  type Id,
  type SessionId,
  type SetId,
  type TenantId,
} from '../types.ts'
import { requireCount, viewOf } from './bytes.ts'

/**
 * The layout of a repository: every object's name. docs/format.md, "Names". Names hold opaque ids and numbers only,
 * nothing of a customer.
 */
export const repositoryName = 'repository'
export const tenantsPrefix = 'tenants/'

function tenantPrefix(tenant: TenantId): string {
  return `${tenantsPrefix}${tenant}/`
}

export function tenantKeysPrefix(tenant: TenantId): string {
  return `${tenantPrefix(tenant)}keys/`
}

const documentDigits = 8
export const tenantKeysRevisionMax = 10 ** documentDigits - 1
export function tenantKeysName(tenant: TenantId, version: number): string {
  return `${tenantKeysPrefix(tenant)}${padded(version, documentDigits)}`
}

export function isTenantKeysName(tenant: TenantId, name: string): boolean {
  const prefix = tenantKeysPrefix(tenant)
  return name.startsWith(prefix) && /^(?!0{8})[0-9]{8}$/.test(name.slice(prefix.length))
}

/** What was asked for and agreed to about the end of a tenant's keys, in numbered versions. */
export function destructionPrefix(tenant: TenantId): string {
  return `${tenantPrefix(tenant)}destruction/`
}

export const destructionNumberMax = 10 ** documentDigits - 1
export function destructionName(tenant: TenantId, number: number): string {
  return `${destructionPrefix(tenant)}${padded(number, documentDigits)}`
}

/** Its number, by its name; undefined for whatever else may lie there. */
export function destructionNumberOf(tenant: TenantId, name: string): number | undefined {
  const prefix = destructionPrefix(tenant)
  const digits = name.startsWith(prefix) ? /^(?!0{8})[0-9]{8}$/.exec(name.slice(prefix.length))?.[0] : undefined
  return digits === undefined ? undefined : Number(digits)
}

/** Says that a tenant's keys were destroyed. */
export function tombstoneName(tenant: TenantId): string {
  return `${tenantPrefix(tenant)}destroyed`
}

/** The public half of the key that the tenant's reports are signed with; plain. */
export function reportKeyName(tenant: TenantId): string {
  return `${tenantPrefix(tenant)}report-key`
}

/** Where a set's objects lie. */
export interface SetPlace {
  readonly tenant: TenantId
  readonly set: SetId
}

export interface ChainPlace extends SetPlace {
  readonly chain: ChainId
}

export interface SessionPlace extends ChainPlace {
  readonly session: SessionId
}

/** Manifests of all sets lie under one prefix, apart from the packs: one listing finds every point of a tenant. */
export function tenantPointsPrefix(tenant: TenantId): string {
  return `${tenantPrefix(tenant)}points/`
}

export function pointsPrefix(place: SetPlace): string {
  return `${tenantPointsPrefix(place.tenant)}${place.set}/`
}

const sequenceDigits = 10
invariant(pointsPerSetMax === 10 ** sequenceDigits - 1, 'ten digits hold every sequence number in order')

export function manifestName(place: SetPlace, sequence: number): string {
  invariant(sequence >= 1 && sequence <= pointsPerSetMax, `sequence number ${String(sequence)}`)
  return pointsPrefix(place) + padded(sequence, sequenceDigits)
}

/** Set and number of the point that a manifest is of, by its name; undefined for whatever else may lie there. */
export function manifestPlaceOf(tenant: TenantId, name: string): { set: SetId; sequence: number } | undefined {
  const prefix = tenantPointsPrefix(tenant)
  const set = idBelow<SetId>(prefix, name)
  if (set === undefined) return undefined
  const sequence = /^\/((?!0{10})[0-9]{10})$/.exec(name.slice(prefix.length + set.length))?.[1]
  return sequence === undefined ? undefined : { set, sequence: Number(sequence) }
}

/** Segments of the catalogues of all sets. */
export function tenantCatalogPrefix(tenant: TenantId): string {
  return `${tenantPrefix(tenant)}catalog/`
}

export function catalogPrefix(place: SetPlace): string {
  return `${tenantCatalogPrefix(place.tenant)}${place.set}/`
}

/** @param level index of `catalogGroups`; `last`: the highest number of the group */
export function catalogName(place: SetPlace, level: number, last: number): string {
  return `${catalogPrefix(place)}${String(level)}-${padded(last, sequenceDigits)}`
}

/** Set, level and last number of a segment of a catalogue, by its name; undefined for whatever else may lie there. */
export function catalogPlaceOf(
  tenant: TenantId,
  name: string,
): { set: SetId; level: number; last: number } | undefined {
  const prefix = tenantCatalogPrefix(tenant)
  const set = idBelow<SetId>(prefix, name)
  if (set === undefined) return undefined
  const [, level, last] = /^\/([0-9])-((?!0{10})[0-9]{10})$/.exec(name.slice(prefix.length + set.length)) ?? []
  const size = catalogGroups[Number(level)]
  if (size === undefined || Number(last) % size !== 0) return undefined
  return { set, level: Number(level), last: Number(last) }
}

/** Documents of the sessions of all sets: one listing finds every session of a tenant that is not cleared away. */
export function tenantSessionsPrefix(tenant: TenantId): string {
  return `${tenantPrefix(tenant)}sessions/`
}

/** The same of one set. */
export function setSessionsPrefix(place: SetPlace): string {
  return `${tenantSessionsPrefix(place.tenant)}${place.set}/`
}

export function sessionName(place: SetPlace, session: SessionId): string {
  return `${setSessionsPrefix(place)}${session}/open`
}

export function sessionEndName(place: SetPlace, session: SessionId): string {
  return `${setSessionsPrefix(place)}${session}/end`
}

export type SessionDocumentName = 'open' | 'end' | 'over'

/** The session's document, once it is over and has no point. */
export function sessionOverName(place: SetPlace, session: SessionId): string {
  return `${setSessionsPrefix(place)}${session}/over`
}

/** Set and session of a session's document, by its name; undefined for whatever else may lie there. */
export function sessionPlaceOf(
  tenant: TenantId,
  name: string,
): { set: SetId; session: SessionId; document: SessionDocumentName } | undefined {
  const prefix = tenantSessionsPrefix(tenant)
  if (!name.startsWith(prefix)) return undefined
  const [set = '', session = '', document, more] = name.slice(prefix.length).split('/')
  if (!isId(set) || !isId(session) || more !== undefined) return undefined
  if (document !== 'open' && document !== 'end' && document !== 'over') return undefined
  return { set: asId<SetId>(set), session: asId<SessionId>(session), document }
}

/** Notes of those who read points of a set. */
export function pinsPrefix(place: SetPlace): string {
  return `${tenantPrefix(place.tenant)}pins/${place.set}/`
}

export function pinName(place: SetPlace, pin: Id): string {
  return pinsPrefix(place) + pin
}

/** The id of a pin, by its name; undefined for whatever else may lie there. */
export function pinOf(place: SetPlace, name: string): Id | undefined {
  const prefix = pinsPrefix(place)
  const id = idBelow(prefix, name)
  return id === undefined || name !== prefix + id ? undefined : id
}

/** A day by UTC, in the names of usage documents. */
export const dayPattern = /^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])$/

/** What was asked of the store for a tenant, day by day. */
export function usagePrefix(tenant: TenantId): string {
  return `${tenantPrefix(tenant)}usage/`
}

/** @param day as `2026-11-28` */
export function usageName(tenant: TenantId, day: string, process: Id, part: number): string {
  return `${usagePrefix(tenant)}${day}/${process}-${padded(part, 4)}`
}

/** The parts of such a name; undefined for whatever else may lie there. */
export function usagePlaceOf(
  tenant: TenantId,
  name: string,
): { readonly day: string; readonly process: Id; readonly part: number } | undefined {
  const [day = '', rest = '', ...more] = name.slice(usagePrefix(tenant).length).split('/')
  const [process = '', part = ''] = rest.split('-')
  if (!dayPattern.test(day) || !isId(process) || more.length > 0) return undefined
  const place = { day, process, part: Number(part) }
  return name === usageName(tenant, day, process, place.part) ? place : undefined
}

/** All packs and page packs of a tenant. */
export function tenantChainsPrefix(tenant: TenantId): string {
  return `${tenantPrefix(tenant)}chains/`
}

export function chainPrefix(place: ChainPlace): string {
  return `${tenantChainsPrefix(place.tenant)}${place.set}/${place.chain}/`
}

/** Where the chain stands in a pack's name: `tenants/<tenant>/chains/<set>/<chain>/<session>/<pack>`. */
const chainInName = 4
const packNameParts = 7

export function sessionObjectsPrefix(place: SessionPlace): string {
  return `${chainPrefix(place)}${place.session}/`
}

// ── registry ───────────────────────────────────────────────────────────────────────────────────────────────────────

/** What a tenant keeps in numbered versions, and where. */
export const registryFolders = [
  'endpoints',
  'tokens',
  'token-uses',
  'claims',
  'policies',
  'retention',
  'scrub',
  'repairs',
] as const
export type RegistryFolder = (typeof registryFolders)[number]

export interface RegistryPlace {
  readonly tenant: TenantId
  readonly folder: RegistryFolder
}

invariant(registryVersionsMax === 10 ** documentDigits - 1, 'eight digits hold every version in order')

export function registryPrefix({ tenant, folder }: RegistryPlace): string {
  return `${tenantPrefix(tenant)}${folder}/`
}

export function registryDocumentPrefix(place: RegistryPlace, id: Id): string {
  return `${registryPrefix(place)}${id}/`
}

export function registryDocumentName(place: RegistryPlace, id: Id, version: number): string {
  invariant(isId(id), 'documents of a registry have ids')
  invariant(version >= 1 && version <= registryVersionsMax, `version ${String(version)}`)
  return registryDocumentPrefix(place, id) + padded(version, documentDigits)
}

/** Id and version of a registry's document, by its name; undefined for whatever else may lie there. */
export function registryDocumentOf(place: RegistryPlace, name: string): { id: Id; version: number } | undefined {
  const prefix = registryPrefix(place)
  const id = idBelow(prefix, name)
  if (id === undefined) return undefined
  const version = /^\/((?!0{8})[0-9]{8})$/.exec(name.slice(prefix.length + id.length))?.[1]
  return version === undefined ? undefined : { id, version: Number(version) }
}

// ── packs ──────────────────────────────────────────────────────────────────────────────────────────────────────────

export type PackKind = 'data' | 'map'

/** Names a pack (or page pack) within its chain. Every attempt has an object of its own and overwrites nothing. */
export interface PackReference {
  readonly session: SessionId
  /** Segment number of a data pack; running number of a page pack. */
  readonly number: number
  /** 16 hex digits, random. */
  readonly attempt: string
}

const attemptBytes = 8
const attemptPattern = /^[0-9a-f]{16}$/
export const packReferenceBytes = idBytes + 4 + attemptBytes
const packDigits = 8
export const packNumberMax = 10 ** packDigits - 1
invariant(segmentsPerSessionMax < 10 ** packDigits && pagePackBytesMax > 0, 'eight digits hold every segment number')

export function packsPrefix(place: SessionPlace, kind: PackKind): string {
  return `${sessionObjectsPrefix(place)}${kind}-`
}

export function packName(place: ChainPlace, kind: PackKind, reference: PackReference): string {
  invariant(attemptPattern.test(reference.attempt), 'an attempt is 16 hex digits')
  return `${packsPrefix({ ...place, session: reference.session }, kind)}${padded(reference.number, packDigits)}-${reference.attempt}`
}

/** Reads a pack's reference back from its name; undefined for whatever else may lie there. */
export function packReferenceOf(place: SessionPlace, kind: PackKind, name: string): PackReference | undefined {
  const prefix = packsPrefix(place, kind)
  const match = name.startsWith(prefix) ? /^([0-9]{8})-([0-9a-f]{16})$/.exec(name.slice(prefix.length)) : null
  const [, digits, attempt] = match ?? []
  if (digits === undefined || attempt === undefined) return undefined
  return { session: place.session, number: Number(digits), attempt }
}

/** The pack or page pack of a chain that a name is of; undefined for whatever else may lie there. */
export function chainObjectOf(
  place: ChainPlace,
  name: string,
): { kind: PackKind; reference: PackReference } | undefined {
  const session = idBelow<SessionId>(chainPrefix(place), name)
  if (session === undefined) return undefined
  for (const kind of ['data', 'map'] as const) {
    const reference = packReferenceOf({ ...place, session }, kind, name)
    if (reference !== undefined) return { kind, reference }
  }
  return undefined
}

export function attemptFromBytes(bytes: Uint8Array): string {
  invariant(bytes.length === attemptBytes, 'an attempt has 8 bytes')
  return Buffer.from(bytes).toString('hex')
}

/** For tables of packs of one chain. */
export function packKey({ session, number, attempt }: PackReference): string {
  return `${session}${String(number)}-${attempt}`
}

export function samePack(a: PackReference, b: PackReference): boolean {
  return a.session === b.session && a.number === b.number && a.attempt === b.attempt
}

const referenceNumberAt = idBytes
const referenceAttemptAt = idBytes + 4

export function writePackReference(target: Uint8Array, offset: number, reference: PackReference): void {
  target.set(idToBytes(reference.session), offset)
  viewOf(target).setUint32(offset + referenceNumberAt, reference.number, true)
  target.set(Buffer.from(reference.attempt, 'hex'), offset + referenceAttemptAt)
}

export function readPackReference(source: Uint8Array, offset: number): PackReference {
  const number = viewOf(source).getUint32(offset + referenceNumberAt, true)
  requireCount('reference to a pack', number, packNumberMax)
  return {
    session: idFromBytes<SessionId>(source.subarray(offset, offset + idBytes)),
    number,
    attempt: attemptFromBytes(source.subarray(offset + referenceAttemptAt, offset + packReferenceBytes)),
  }
}

// ── contexts of boxes that are no objects of their own ─────────────────────────────────────────────────────────────

export function pageContext(place: ChainPlace, disk: number, page: number): string {
  return `${chainPrefix(place)}disk/${String(disk)}/page/${String(page)}`
}

export function nodeContext(place: ChainPlace, disk: number, node: number): string {
  return `${chainPrefix(place)}disk/${String(disk)}/node/${String(node)}`
}

/**
 * Of the footer of a pack: its name without the chain, so that the pack opens in another chain of the set, too, when it is
 * copied whole (docs/decisions/0020-synthetic-fulls.md).
 */
export function packFooterContext(name: string): string {
  const parts = name.split('/')
  invariant(parts.length === packNameParts, `${name} is the name of a pack`)
  return parts.toSpliced(chainInName, 1).join('/')
}

export function rootContext(place: SessionPlace): string {
  return `${sessionObjectsPrefix(place)}root`
}

// ── helpers ────────────────────────────────────────────────────────────────────────────────────────────────────────

/** The ids directly below `prefix` in a listing of object names. */
export function idBelow<T extends Id>(prefix: string, name: string): T | undefined {
  if (!name.startsWith(prefix)) return undefined
  const part = name.slice(prefix.length).split('/', 1)[0] ?? ''
  return isId(part) ? asId<T>(part) : undefined
}

function padded(value: number, digits: number): string {
  invariant(
    Number.isSafeInteger(value) && value >= 0 && value < 10 ** digits,
    `${String(value)} fits ${String(digits)} digits`,
  )
  return String(value).padStart(digits, '0')
}
