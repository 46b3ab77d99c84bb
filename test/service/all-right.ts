import assert from 'node:assert/strict'
import { rm } from 'node:fs/promises'
import type { ErrorDocument } from '@strata/shared/errors.ts'
import { tenantsPrefix } from '@strata/shared/format/names.ts'
import { mapConcurrently } from '@strata/shared/repository/concurrency.ts'
import type { ObjectStore } from '@strata/shared/store/object-store.ts'
import { describeRun, filesBelow, until } from '../end-to-end/place.ts'
import type { PointAnswer, VerifyAnswer } from '../fixtures/strata-program.ts'
import { describeDisk, type ExpectedDisk, type ExpectedPoint } from './endpoints.ts'
import type { Installation, Tenant } from './installation.ts'
import { contentsOf, unfinishedWork } from './redis-watch.ts'

/** Programs that run at the same time, beside the service. */
const restoresAtOnce = 3

/** Every point of every tenant is there and intact, nothing else is anywhere, and `restored` restore to the byte. */
export async function assertAllRight(
  installation: Installation,
  expected: readonly ExpectedPoint[],
  restored: readonly ExpectedPoint[],
): Promise<void> {
  await assertNothingUnderWay(installation)
  await Promise.all(installation.tenants.map((tenant) => assertPoints(tenant, expected)))
  await assertRestores(installation, restored)
}

async function assertNothingUnderWay({ store, staging, redis, place }: Installation): Promise<void> {
  // What is over stays known for a day.
  const sessions = (await namesIn(store, tenantsPrefix)).filter((name) => /\/sessions\/.*\/(open|end)$/.test(name))
  assert.deepEqual(sessions, [])
  // A point may be there a moment before the last of its segments is cleared away.
  await untilEmpty('staging', async () => (staging === undefined ? [] : await namesIn(staging, '')))
  await untilEmpty('Redis', async () => unfinishedWork(await contentsOf(redis)))
  await untilEmpty('hand-over', async () => await filesBelow(place.file('hand-over')))
}

async function untilEmpty(where: string, look: () => Promise<readonly string[]>): Promise<void> {
  let found: readonly string[] = []
  const isEmpty = async (): Promise<true | undefined> => {
    found = await look()
    return found.length === 0 ? true : undefined
  }
  await until(isEmpty).catch((error: unknown) => {
    assert.fail(`${where} still holds ${found.join(', ')}: ${String(error)}`)
  })
}

async function namesIn(store: ObjectStore, prefix: string): Promise<string[]> {
  return await Array.fromAsync(store.list(prefix), ({ name }) => name)
}

type ListedPoint = PointAnswer & { readonly set: string; readonly problems: readonly unknown[] }

/** Exactly its own points are in a tenant's list, and each of them is intact. */
async function assertPoints(tenant: Tenant, expected: readonly ExpectedPoint[]): Promise<void> {
  const { operator } = tenant
  const listed = await operator.answers<ListedPoint[]>('points')
  const own = expected.filter((point) => point.tenant === tenant)
  const line = ({ set, point, kind }: Pick<ListedPoint, 'set' | 'point' | 'kind'>): string => `${set} ${point} ${kind}`
  assert.deepEqual(listed.map(line).sort(), own.map(line).sort())
  for (const { state, problems } of listed) assert.deepEqual([state, problems], ['complete', []])
  const verified = await operator.answers<VerifyAnswer>('verify', '--all')
  assert.equal(verified.state, 'intact')
  assert.equal(verified.points.length, own.length)
}

async function assertRestores({ place }: Installation, expected: readonly ExpectedPoint[]): Promise<void> {
  const wanted = expected.flatMap((point) => point.disks.map((disk) => ({ point, disk })))
  const restore = async ({ point, disk }: { point: ExpectedPoint; disk: ExpectedDisk }): Promise<void> => {
    const target = place.file(`restored-${point.point}-${disk.name}`)
    await point.tenant.operator.answers('restore', `${point.point}:${disk.name}`, '--to', target)
    const found = await describeDisk(disk.name, target)
    assert.deepEqual(found, disk, `${point.kind} point of ${point.set}`)
    await rm(target)
  }
  await Array.fromAsync(mapConcurrently(wanted, restoresAtOnce, restore))
}

/** What one tenant has opens nothing of another, in the same store. */
export async function assertApart({ tenants, place }: Installation, expected: readonly ExpectedPoint[]): Promise<void> {
  const [north, south] = tenants
  for (const [own, other] of [
    [north, south],
    [south, north],
  ] as const) {
    const foreign = expected.find((point) => point.tenant === other)
    assert.ok(foreign !== undefined)
    const target = place.file('foreign.img')
    assert.equal(await refusal(own, 'restore', foreign.point, '--to', target), 'E_POINT_UNKNOWN')
    assert.equal(await refusal(own, 'verify', foreign.point), 'E_POINT_UNKNOWN')
    assert.equal(await refusal(own, 'points', '--tenant', other.name), 'E_KEY_FOREIGN')
  }
}

async function refusal({ operator }: Tenant, ...args: readonly string[]): Promise<string> {
  const run = await operator.run(...args)
  assert.equal(run.exitCode, 1, describeRun(run))
  return (JSON.parse(run.output) as { error: ErrorDocument }).error.code
}

interface CostAnswer {
  readonly sets: readonly {
    readonly set: string | null
    readonly bytesSent: number
    readonly stored: { readonly standard?: { readonly bytes: number } }
  }[]
}

/** What the processes of the service have written down of a tenant by the time that they have ended. */
export async function assertLedger(tenant: Tenant, expected: readonly ExpectedPoint[]): Promise<void> {
  const { sets } = await tenant.operator.answers<CostAnswer>('cost')
  const own = new Set(expected.filter((point) => point.tenant === tenant).map(({ set }) => set))
  const told = sets.flatMap(({ set }) => set ?? [])
  assert.deepEqual(told.toSorted(), [...own].sort())
  for (const { set, bytesSent, stored } of sets) {
    if (set === null) continue
    const bytes = stored.standard?.bytes ?? 0
    assert.ok(bytes > 0 && bytesSent >= bytes, `${set}: ${String(bytesSent)} sent, ${String(bytes)} stored`)
  }
}
