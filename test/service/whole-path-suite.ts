import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import type { BackupAnswer } from '../fixtures/strata-program.ts'
import { filesBelow, MiB, until } from '../end-to-end/place.ts'
import type { StoreServer } from '../servers/store-server.ts'
import { assertAllRight, assertApart, assertLedger } from './all-right.ts'
import type { Round } from './disks.ts'
import { backUpEndpoint, enrolEndpoints, type Endpoint, type ExpectedPoint } from './endpoints.ts'
import { Evidence } from './evidence.ts'
import { startInstallation, type Installation } from './installation.ts'
import { contentsOf } from './redis-watch.ts'

/**
 * From the disks of five machines to what is restored, with a service of several processes in between; and at the end a
 * search for all that nobody may read, in all that anybody can.
 */
export function describeWholePath(start: () => Promise<StoreServer | undefined>): void {
  let server: StoreServer | undefined
  let installation: Installation
  let endpoints: Endpoint[]
  let evidence: Evidence
  const expected: ExpectedPoint[] = []

  before(async () => {
    server = await start()
    installation = await startInstallation(server)
    evidence = new Evidence(installation)
    endpoints = await enrolEndpoints(installation)
  })
  after(async () => {
    await installation[Symbol.asyncDispose]()
    await server?.stop()
  })

  /** Resolves when all points are right; those of the round, or all, have been restored. */
  const backUpAll = async (round: Round, restored: 'its own' | 'all'): Promise<BackupAnswer[]> => {
    const ready = endpoints.map(async (endpoint) => {
      const disks = await endpoint.prepare(endpoint.directory, round)
      await evidence.learnDisks(endpoint.machine.name, disks)
      return { endpoint, disks }
    })
    const runs = (await Promise.all(ready)).map(({ endpoint, disks }) => backUpEndpoint(endpoint, disks, round))
    const made = await Promise.all(runs)
    const points = made.map(({ expected: point }) => point)
    expected.push(...points)
    await assertAllRight(installation, expected, restored === 'all' ? expected : points)
    return made.map(({ answer }) => answer)
  }

  test('five machines at once are backed up in full, though workers come late', async () => {
    const backups = backUpAll('full', 'its own')
    await Promise.race([backups, takeEvidenceUnderWay(installation, evidence)])
    for (const { kind, warnings } of await backups) assert.deepEqual([kind, warnings], ['full', []])
  })

  test('what has changed since then', async () => {
    for (const { kind, warnings } of await backUpAll('incremental', 'its own')) {
      assert.deepEqual([kind, warnings], ['incremental', []])
    }
  })

  test('what has changed since the full', async () => {
    for (const { kind, warnings } of await backUpAll('differential', 'its own')) {
      assert.deepEqual([kind, warnings], ['differential', []])
    }
  })

  test('blocks that were deleted, a disk that grew, one that stayed as it was; and every point there is restores', async () => {
    const answers = await backUpAll('shrink and grow', 'all')
    assert.deepEqual(
      answers.map(({ warnings }) => warnings.map(({ code }) => code)),
      [[], [], ['W_DISK_GREW'], [], []],
    )
    assert.equal(answers[1]?.changedBytes, 0)
  })

  test('no operator can reach a point of the other tenant', async () => {
    await assertApart(installation, expected)
  })

  test('every process ends in seconds when it is asked to, and leaves nothing behind', async () => {
    await evidence.take()
    await installation.fleet.stop()
    await installation.place.assertNothingLeft()
    for (const { machine } of endpoints) assert.deepEqual(await filesBelow(machine.spool), [])
    const keys = [...(await contentsOf(installation.redis)).keys()]
    // What admission knew of a process goes by itself.
    assert.deepEqual(
      keys.filter((key) => /^strata-(claims$|[0-9a-f]{16}:(?!admission:))/.test(key)),
      [],
    )
  })

  test('the ledger of each tenant has its own sets, and all that they store was sent', async () => {
    for (const tenant of installation.tenants) await assertLedger(tenant, expected)
  })

  test('no content, name, digest or key is readable in store, staging, hand-over, Redis or log', async () => {
    await evidence.learnAll(endpoints)
    await evidence.take()
    assert.deepEqual(evidence.findings(), [])
    const looked = `${String(evidence.secrets)} secrets in ${String(evidence.lookedBytes)} bytes`
    assert.ok(evidence.secrets > 500 && evidence.lookedBytes > 20 * MiB, looked)
  })

  test('the same search finds them where they belong', async () => {
    for (const { machine, tenant, directory } of endpoints.slice(0, 1)) {
      const { name } = machine
      const disk = await filesIn(directory)
      assertHas(evidence.wouldFind(disk), ['text on a disk', 'name of a file'])
      const state = await filesIn(machine.state)
      const its = [`digest of a block of ${tenant.name}`, `key of endpoint ${name}`, 'name of an endpoint']
      assertHas(evidence.wouldFind(state), its)
      assert.ok(evidence.wouldFind(await readFile(tenant.keyringPath)).has(`index key of ${tenant.name}`))
    }
  })
}

/** While nothing goes on, so that there is something to see: segments that wait for workers, and one that a worker has. */
async function takeEvidenceUnderWay(installation: Installation, evidence: Evidence): Promise<void> {
  const { staging, holding, gateways } = installation
  if (staging !== undefined) {
    const sessions = new Set<string>()
    await until(async () => {
      for await (const { name } of staging.list('')) sessions.add(name.slice(0, name.lastIndexOf('/')))
      return sessions.size === sessionsWithSegments ? true : undefined
    })
    await evidence.take()
    assert.ok(evidence.count('staging') >= sessionsWithSegments)
  }
  await installation.startWorkers()
  await holding.reached(gateways[0].run)
  await evidence.take()
  assert.ok(evidence.count('hand-over') > 0)
  assert.ok(evidence.count('Redis') > 0)
  await holding.release()
}

async function filesIn(directory: string): Promise<Buffer> {
  const paths = (await filesBelow(directory)).map((file) => join(directory, file.slice(0, file.lastIndexOf(' '))))
  return Buffer.concat(await Promise.all(paths.map((path) => readFile(path))))
}

function assertHas(found: ReadonlySet<string>, wanted: readonly string[]): void {
  for (const what of wanted) assert.ok(found.has(what), what)
}

/** The machine with an empty disk has nothing to send. */
const sessionsWithSegments = 4
