import assert from 'node:assert/strict'
import { packName } from '@strata/shared/format/names.ts'
import { sessionLifeMs } from '@strata/shared/limits.ts'
import { PointMap } from '@strata/shared/repository/point-map.ts'
import {
  chainPlaceOf,
  isReadable,
  isVoid,
  listPoints,
  pointId,
  type NumberEntry,
  type Point,
} from '@strata/shared/repository/points.ts'
import { Repository } from '@strata/shared/repository/repository.ts'
import type { ObjectStore } from '@strata/shared/store/object-store.ts'
import { storeWith } from '@strata/shared/testing/store-with.ts'
import { seededRandom, standingClock, type TestRepository } from '@strata/shared/testing/test-repository.ts'
import { sweepSessions, type SweepResult } from '../maintain/sweep/sweep-sessions.ts'
import { checkHistory } from '../maintain/verify/history.ts'
import { steppedStore, type Around } from './stepped-store.ts'
import { TestSession, type TestSessionOptions } from './test-session.ts'

/** Sessions that are over, or not, and sweeps of them at a time that a test chooses. */

/** The sessions of `TestSession` begin now and live as long as sessions do. */
export const openedMs = standingClock.nowMs()
export const overMs = openedMs + sessionLifeMs + 1
export const later = '2026-03-01T00:00:00.000Z'

/** Two blocks of its own, in two packs: what one session has stored, no other point refers to. */
const contentsOf = (number: number): ReadonlyMap<number, string> =>
  new Map([2, 9].map((block) => [block, `block ${String(block)} of session ${String(number)}`]))

/** A session that has sent everything. */
export async function sentSession(
  test: TestRepository,
  number: number,
  options: Partial<TestSessionOptions> = {},
): Promise<TestSession> {
  const session = await new TestSession({ repository: test.repository, number, ...options }).open()
  await sendAll(session, number)
  return session
}

export async function sendAll(session: TestSession, number: number): Promise<void> {
  const contents = contentsOf(number)
  const blocks = Array.from(contents, ([block, content]) => ({ block, content }))
  for (const [segment, block] of blocks.entries()) await session.pack(segment, [block])
  await session.end(blocks.length, [contents])
}

let randoms = 0

/** The same repository, as another process sees it whose requests go through `around`. */
export function seenBy(test: TestRepository, around: Around = (request) => request()): Repository {
  randoms += 1
  return through(test, steppedStore(test.store, around), randoms)
}

export function through(test: TestRepository, store: ObjectStore, seed: number): Repository {
  return new Repository(store, test.repository.ingestKeys, seededRandom(`process ${String(seed)}`))
}

export interface SweepAt {
  readonly around?: Around
  readonly storeMs?: number
  readonly ownMs?: number
  readonly signal?: AbortSignal
}

export function sweep(test: TestRepository, at: SweepAt = {}): Promise<SweepResult> {
  const { store, ingestKeys } = seenBy(test, at.around)
  const atItsTime = storeWith(store, { now: () => Promise.resolve(at.storeMs ?? overMs) })
  const repository = new Repository(atItsTime, ingestKeys, seededRandom(`sweep ${String(randoms)}`))
  const clock = { ...standingClock, nowMs: () => at.ownMs ?? overMs }
  return sweepSessions({ repository, clock, ...(at.signal === undefined ? {} : { signal: at.signal }) })
}

export const nothing: SweepResult = { cleared: 0, published: 0, kept: 0, unreadable: 0, problem: undefined }

export async function objects(test: TestRepository, part = ''): Promise<string[]> {
  const found = await Array.fromAsync(test.store.list(`tenants/${test.repository.tenant}/${part}`))
  return found.map(({ name }) => name)
}

export function ofSession(names: readonly string[], { id }: TestSession): string[] {
  return names.filter((name) => name.includes(`/${id}/`))
}

/** What the numbers of the set are, after a look at whether their history is whole. */
export async function numbersOf({ repository }: TestRepository): Promise<NumberEntry[]> {
  const entries = await Array.fromAsync(listPoints(repository))
  assert.deepEqual(checkHistory(entries), [])
  return entries.filter((entry) => isReadable(entry) || isVoid(entry))
}

export function ownerOf(entry: NumberEntry): string {
  return isVoid(entry) ? `void of ${entry.void.session}` : entry.manifest.point
}

export async function owners(test: TestRepository): Promise<string[]> {
  return (await numbersOf(test)).map(ownerOf)
}

/** The map of a point opens, and every pack that it needs is there. */
export async function assertComplete({ repository, store }: TestRepository, point: Point): Promise<void> {
  const map = await PointMap.open(repository, point)
  const [page] = await Array.fromAsync(map.pages(0, [0]))
  assert.ok(page)
  const packs = new Set<string>()
  for (let block = 0; block < page.entryCount; block += 1) {
    const place = page.place(block)
    if (place !== undefined) packs.add(packName(chainPlaceOf(repository, point), 'data', place.pack))
  }
  assert.equal(packs.size, 2)
  for (const pack of packs) assert.ok(pack.includes(`/${pointId(point)}/`), `${pack} is of another session`)
  for (const pack of packs) assert.ok(await store.head(pack), `${pack} of a visible point is gone`)
}

/** Either a point with all that it needs, or a void; and never both. */
export async function assertDecided(test: TestRepository, session: TestSession): Promise<'point' | 'void'> {
  const own = (await numbersOf(test)).filter((entry) => ownerOf(entry).endsWith(session.id))
  const [entry] = own
  assert.ok(entry !== undefined && own.length === 1, `the session has ${String(own.length)} numbers`)
  if (isVoid(entry)) return 'void'
  await assertComplete(test, entry)
  return 'point'
}
