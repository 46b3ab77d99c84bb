import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { toStrataError } from '@strata/shared/errors.ts'
import { isReadable } from '@strata/shared/repository/points.ts'
import type { Repository } from '@strata/shared/repository/repository.ts'
import { makeTestRepository, type TestRepository } from '@strata/shared/testing/test-repository.ts'
import {
  assertDecided,
  later,
  nothing,
  numbersOf,
  objects,
  ofSession,
  owners,
  seenBy,
  sentSession,
  sweep,
} from '../../testing/dead-sessions.ts'
import { Dead, dyingAt, pausedAt, type Around } from '../../testing/stepped-store.ts'
import { TestSession } from '../../testing/test-session.ts'

/** Sweeps and commits of one session that die, or are late, at every single request: a point, or a void, never both. */

interface Scene {
  readonly test: TestRepository
  readonly published: TestSession
  readonly dead: readonly TestSession[]
  readonly live: TestSession
}

async function makeScene(): Promise<Scene> {
  const test = makeTestRepository()
  const published = await sentSession(test, 1)
  await published.commit()
  const dead = [await sentSession(test, 2), await new TestSession({ repository: test.repository, number: 3 }).open()]
  const live = await sentSession(test, 4, { expiresAt: later })
  return { test, published, dead, live }
}

async function assertSwept({ test, published, dead, live }: Scene): Promise<void> {
  await sweepLate(test)
  assert.deepEqual((await owners(test)).sort(), [published.id, ...dead.map(({ id }) => `void of ${id}`)].sort())
  assert.equal(await assertDecided(test, published), 'point')
  const left = await objects(test)
  for (const session of dead) assert.deepEqual(ofSession(left, session), [])
  assert.deepEqual(ofSession(await objects(test, 'sessions/'), published), [])
  assert.equal(ofSession(left, live).length, 4)
  await live.commit()
  assert.equal(await assertDecided(test, live), 'point')
}

/** What was stored late goes with the first of these, and `over` with the second. */
async function sweepLate(test: TestRepository): Promise<void> {
  for (let sweeps = 1; sweeps <= 2; sweeps += 1) await sweep(test)
}

test('a sweep that dies at any request, before or after it, is done by the next one', async () => {
  let requests = 0
  for (const moment of ['before', 'after'] as const) {
    for (let number = 1; ; number += 1) {
      const scene = await makeScene()
      const death = dyingAt(number, moment)
      const ended = await sweep(scene.test, { around: death.around }).catch(deathOf)
      assert.equal(ended instanceof Dead, death.reached())
      await sweep(scene.test)
      await assertSwept(scene)
      assert.deepEqual(await sweep(scene.test), { ...nothing, kept: 1 })
      requests = number
      if (!death.reached()) break
    }
  }
  assert.ok(requests > 15, `${String(requests)} requests`)
})

/** What the death of a process looks like from inside. */
function deathOf(error: unknown): Dead {
  const cause = error instanceof Dead ? error : toStrataError(error).cause
  assert.ok(cause instanceof Dead, String(error))
  return cause
}

test('two sweeps, of which one stops at any request until the other is done', async () => {
  for (let number = 1; ; number += 1) {
    const scene = await makeScene()
    const pause = pausedAt(number, async () => {
      await sweep(scene.test)
    })
    await sweep(scene.test, { around: pause.around })
    if (!pause.reached()) await sweep(scene.test)
    await assertSwept(scene)
    if (!pause.reached()) break
  }
})

/** A late commit may only fail like this: there is no session any more, or no packs of it. */
async function commitLate(session: TestSession, repository: Repository): Promise<'published' | 'refused'> {
  try {
    await session.commit(repository)
    return 'published'
  } catch (error) {
    if (error instanceof Dead) throw error
    const { code } = toStrataError(error)
    assert.ok(['E_SESSION_UNKNOWN', 'E_SEGMENTS_MISSING'].includes(code), String(error))
    return 'refused'
  }
}

/** A session on a base, so that its commit reads more than its own. */
async function sceneOnBase(): Promise<{ test: TestRepository; session: TestSession }> {
  const test = makeTestRepository()
  const full = await sentSession(test, 1, { expiresAt: later })
  await full.commit()
  const [base] = await numbersOf(test)
  assert.ok(base !== undefined && isReadable(base))
  return { test, session: await sentSession(test, 2, { base }) }
}

test('a sweep that runs while a commit stops at any request: a point with all its packs, or a void', async () => {
  const outcomes = new Set<string>()
  for (let number = 1; ; number += 1) {
    const { test, session } = await sceneOnBase()
    const pause = pausedAt(number, async () => {
      await sweep(test)
    })
    const ended = await commitLate(session, seenBy(test, pause.around))
    if (!pause.reached()) await sweep(test)
    const decided = await assertDecided(test, session)
    assert.equal(decided, ended === 'published' ? 'point' : 'void', `at request ${String(number)}`)
    outcomes.add(decided)
    if (!pause.reached()) break
  }
  assert.deepEqual(outcomes, new Set(['void', 'point']))
})

test('a commit that runs while a sweep stops at any request: a point with all its packs, or a void', async () => {
  const outcomes = new Set<string>()
  for (let number = 1; ; number += 1) {
    const { test, session } = await sceneOnBase()
    let ended: string | undefined
    const pause = pausedAt(number, async () => {
      ended = await commitLate(session, seenBy(test))
    })
    await sweep(test, { around: pause.around })
    ended ??= await commitLate(session, seenBy(test))
    const decided = await assertDecided(test, session)
    assert.equal(decided, ended === 'published' ? 'point' : 'void', `at request ${String(number)}`)
    outcomes.add(decided)
    if (!pause.reached()) break
  }
  assert.deepEqual(outcomes, new Set(['void', 'point']))
})

test('a commit that dies at any request, is swept, and tried again: a point with all its packs, or a void', async () => {
  for (const moment of ['before', 'after'] as const) {
    for (let number = 1; ; number += 1) {
      const { test, session } = await sceneOnBase()
      const death = dyingAt(number, moment)
      const died = await session.commit(seenBy(test, death.around)).catch(deathOf)
      assert.equal(died instanceof Dead, death.reached())
      await sweep(test)
      const decided = await assertDecided(test, session)
      await assert.rejects(session.commit(), { code: 'E_SESSION_UNKNOWN' })
      assert.equal(await assertDecided(test, session), decided)
      if (!death.reached()) break
    }
  }
})

/**
 * A commit, of which a sweep begins at one request, and goes on from one of its own when the commit is done. `undefined`:
 * the commit makes fewer requests.
 */
async function race(ofCommit: number, ofSweep: number): Promise<{ decided: string; hasStopped: boolean } | undefined> {
  const { test, session } = await sceneOnBase()
  const committed = Promise.withResolvers<undefined>()
  const stopped = Promise.withResolvers<undefined>()
  const stop = pausedAt(ofSweep, async () => {
    stopped.resolve(undefined)
    await committed.promise
  })
  let sweeping: Promise<unknown> = Promise.resolve()
  const begin = pausedAt(ofCommit, async () => {
    sweeping = sweep(test, { around: stop.around })
    await Promise.race([stopped.promise, sweeping])
  })
  const ended = await commitLate(session, seenBy(test, begin.around))
  committed.resolve(undefined)
  await sweeping
  if (!begin.reached()) return undefined
  const decided = await assertDecided(test, session)
  assert.equal(decided, ended === 'published' ? 'point' : 'void', `${String(ofCommit)} and ${String(ofSweep)}`)
  return { decided, hasStopped: stop.reached() }
}

test('a sweep that begins at any request of a commit and stops at any of its own until the commit is done', async () => {
  const outcomes = new Set<string>()
  for (let ofCommit = 1; ; ofCommit += 1) {
    let raced = await race(ofCommit, 1)
    for (let ofSweep = 2; raced?.hasStopped === true; ofSweep += 1) {
      outcomes.add(raced.decided)
      raced = await race(ofCommit, ofSweep)
    }
    if (raced === undefined) break
  }
  assert.deepEqual(outcomes, new Set(['void', 'point']))
})

test('property: commits and sweeps in any order, dying anywhere, end with a point or a void, and never both', async () => {
  const actor = fc.record({
    what: fc.constantFrom('commit', 'sweep'),
    diesAt: fc.option(fc.nat(25), { nil: undefined }),
  })
  const plan = fc.tuple(
    fc.array(actor, { minLength: 2, maxLength: 5 }),
    fc.noBias(fc.array(fc.nat(1000), { minLength: 20, maxLength: 200 })),
  )
  await fc.assert(
    fc.asyncProperty(plan, async ([actors, choices]) => {
      const { test, session } = await sceneOnBase()
      const turns = new Turns(choices)
      const running = actors.map(async ({ what, diesAt }) => {
        const around = turns.around(diesAt)
        const work = what === 'sweep' ? sweep(test, { around }) : commitLate(session, seenBy(test, around))
        await work.catch(deathOf)
      })
      await turns.untilEnded(Promise.all(running))
      await sweep(test)
      const decided = await assertDecided(test, session)
      await sweepLate(test)
      assert.equal(await assertDecided(test, session), decided)
      assert.deepEqual(ofSession(await objects(test, decided === 'void' ? '' : 'sessions/'), session), [])
    }),
    { numRuns: 150 },
  )
})

/** Gives one request after the other its turn, in an order that `choices` say. */
class Turns {
  readonly #choices: readonly number[]
  readonly #waiting: (() => void)[] = []
  #given = 0

  constructor(choices: readonly number[]) {
    this.#choices = choices
  }

  around(diesAt: number | undefined): Around {
    let count = 0
    return async (request) => {
      await new Promise<void>((resolve) => this.#waiting.push(resolve))
      count += 1
      if (diesAt !== undefined && count > diesAt) throw new Dead()
      return await request()
    }
  }

  async untilEnded(all: Promise<unknown>): Promise<void> {
    const isOver = all.then(() => true)
    // A store in memory needs no more than this to come to its next request.
    const isNext = (): Promise<boolean> => new Promise((resolve) => setImmediate(resolve, false))
    while (!(await Promise.race([isOver, isNext()]))) {
      const chosen = (this.#choices[this.#given % this.#choices.length] ?? 0) % Math.max(1, this.#waiting.length)
      this.#given += 1
      for (const go of this.#waiting.splice(chosen, 1)) go()
    }
  }
}
