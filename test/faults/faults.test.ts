import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { cephRgwRequirement } from '../servers/ceph-rgw.ts'
import { redisRequirement } from '../servers/redis.ts'
import { describeWith, rootRequirement, type Requirement } from '../servers/require-server.ts'
import { planOf } from './plan.ts'
import { runScenario } from './run-seed.ts'
import { needs } from './scenario.ts'
import { startSurroundings, type StartedSurroundings } from './surroundings.ts'
import { inWords } from './words.ts'

/** The first so many seeds; more with `npm run faults -- --seeds N`. */
const seeds = 42
const atOnce = 3
const scenarios = Array.from({ length: seeds }, (_, index) => planOf(index + 1))

function suite(requirements: readonly Requirement[], s3: boolean, root: boolean): void {
  const of = scenarios.filter((scenario) => needs(scenario).s3 === s3 && needs(scenario).root === root)
  const [first = redisRequirement, ...others] = requirements
  const both: Requirement = {
    name: requirements.map(({ name }) => name).join(' and '),
    programs: requirements.flatMap(({ programs }) => programs),
    remedy: requirements.map(({ remedy }) => remedy).join('; '),
    isMet: () => [first, ...others].every(({ isMet }) => isMet?.() ?? true),
  }
  describeWith(both, `faults, with ${both.name}`, () => {
    let surroundings: StartedSurroundings
    before(async () => {
      surroundings = await startSurroundings(of)
    })
    after(() => surroundings.stop())

    describe('each seed', { concurrency: atOnce }, () => {
      for (const scenario of of) {
        test(`seed ${String(scenario.seed)}`, async (t) => {
          const { problems } = await runScenario(scenario, surroundings, false)
          if (problems.length > 0) for (const line of inWords(scenario)) t.diagnostic(line)
          assert.deepEqual(problems, [], `again: npm run faults -- --seed ${String(scenario.seed)} --keep`)
        })
      }
    })
  })
}

suite([redisRequirement], false, false)
suite([redisRequirement, rootRequirement], false, true)
suite([redisRequirement, cephRgwRequirement], true, false)
