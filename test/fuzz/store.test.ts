import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { test } from 'node:test'
import fc from 'fast-check'
import { StrataError } from '@strata/shared/errors.ts'
import { openDataKey } from '@strata/shared/keys/data-keys.ts'
import { PointMap } from '@strata/shared/repository/point-map.ts'
import { isReadable, isUnreadable, listPoints } from '@strata/shared/repository/points.ts'
import { unlockRepository } from '@strata/shared/repository/unlock.ts'
import { MemoryStore } from '@strata/shared/store/memory.ts'
import { seededRandom, standingClock } from '@strata/shared/testing/test-repository.ts'
import { goldenKeyFile, makeGolden } from '../fixtures/golden/make-golden.ts'
import { fuzzing, nearly } from './mutate.ts'

/**
 * One object of a whole repository is damaged. Whoever then unlocks the tenant, lists its points and reads their maps
 * gets what was there before, or an error with a code; never a bug, and never something else than was there.
 */
const { runs, seed } = fuzzing()
const golden = await makeGolden()
const objects = new Map<string, Uint8Array>()
for await (const { name } of golden.store.list('')) objects.set(name, await golden.store.get(name))
const keyFile = Buffer.from((await readFile(goldenKeyFile, 'utf8')).split('\n')[1] ?? '', 'base64')

/** The store's points and content, one line for each thing that can be read. Errors go to `refused`. */
async function readAll(
  contents: ReadonlyMap<string, Uint8Array>,
  refused: (error: unknown) => void,
): Promise<string[]> {
  const store = new MemoryStore({ clock: standingClock })
  for (const [name, bytes] of contents) await store.put(name, [bytes])
  const found: string[] = []
  const attempt = async (work: () => Promise<void>): Promise<void> => {
    try {
      await work()
    } catch (error) {
      refused(error)
    }
  }
  await attempt(async () => {
    const { repository, privateKey } = await unlockRepository(store, {
      keyringPath: '/nonexistent/keyring',
      secrets: () => Promise.resolve({ keyFile }),
      random: seededRandom('fuzz store'),
    })
    for await (const entry of listPoints(repository)) {
      if (!isReadable(entry)) {
        assert.ok(isUnreadable(entry), 'there are no voids')
        refused(entry.error)
        continue
      }
      const { point, disks } = entry.manifest
      found.push(point)
      await attempt(async () => {
        const map = await PointMap.open(repository, entry)
        for (const key of map.root.keys) await openDataKey(privateKey, repository.tenant, key)
        for (const [index, disk] of disks.entries()) {
          const pages = Array.from({ length: map.counts(index).pages }, (_, page) => page)
          for await (const page of map.pages(index, pages)) {
            const places = Array.from({ length: page.entryCount }, (_, block) => page.place(block))
            found.push(`${point} ${disk.name} ${String(page.number)} ${JSON.stringify(places.filter(Boolean))}`)
          }
        }
      })
    }
  })
  return found
}

test('fuzz: one damaged object', async (t) => {
  t.diagnostic(`STRATA_FUZZ_SEED=${String(seed)} STRATA_FUZZ_RUNS=${String(runs)}`)
  const whole = new Set(await readAll(objects, (error) => assert.fail(error as Error)))
  assert.ok(whole.size > 15)
  // Records are another suite's matter; here nothing reads them.
  const names = [...objects.keys()].filter((name) => !name.includes('/data-'))
  const damage = fc.constantFrom(...names).chain((name) => {
    const others = names
      .filter((other) => other.split('/')[2] === name.split('/')[2])
      .map((other) => objects.get(other))
    const examples = [objects.get(name), ...others].filter((bytes) => bytes !== undefined)
    return fc.tuple(
      fc.constant(name),
      fc.oneof(nearly(examples.slice(0, 1)), nearly(examples), fc.constantFrom(...examples)),
    )
  })
  await fc.assert(
    fc.asyncProperty(damage, async ([name, bytes]) => {
      const refused: unknown[] = []
      const found = await readAll(new Map([...objects, [name, bytes]]), (error) => refused.push(error))
      for (const error of refused) {
        assert.ok(error instanceof StrataError && error.kind !== 'bug', `${name}: ${String(error)}`)
      }
      for (const thing of found) assert.ok(whole.has(thing), `${name}: something was read that was not there`)
    }),
    { numRuns: Math.ceil(runs / 15), seed },
  )
})
