import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { after, before, test } from 'node:test'
import prices from '@strata/shared/cost/prices.json' with { type: 'json' }
import type { RequestKind } from '@strata/shared/format/usage.ts'
import { redisRequirement } from '../servers/redis.ts'
import { describeWith } from '../servers/require-server.ts'
import { makeDisk, MiB, Place, writeAt } from './place.ts'

interface CostAnswer {
  readonly sets: readonly {
    readonly set: string | null
    readonly requests: Record<RequestKind, number>
    readonly bytesSent: number
    readonly bytesReceived: number
    readonly stored: Record<string, { bytes: number; objects: number }>
    readonly cost: { readonly storage: number; readonly total: number }
  }[]
  readonly total: { readonly total: number }
  readonly forecast: { readonly months: readonly { readonly month: string; readonly points: number }[] } | null
  readonly warnings: readonly { readonly code: string }[]
}

/** What a store costs, from the requests of real runs to the table. A directory costs what its table says. */
describeWith(redisRequirement, 'strata cost', () => {
  let place: Place
  const inDirectory = { currency: 'EUR', providers: { directory: prices.providers.s3 } }
  before(async () => {
    place = await Place.withPoint()
    await makeDisk(place.file('paid.img'), 9)
    await writeFile(place.file('prices.json'), JSON.stringify(inDirectory))
  })
  after(() => place[Symbol.asyncDispose]())

  const cost = (...more: readonly string[]): Promise<CostAnswer> =>
    place.answersWith<CostAnswer>({ env: { STRATA_PRICES: place.file('prices.json') } }, 'cost', ...more)
  const ofSet = ({ sets }: CostAnswer, name: string): CostAnswer['sets'][number] =>
    sets.find(({ set }) => set === name) ?? assert.fail(`nothing of ${name}`)

  test('the ledger has what backups and restores have asked and moved, and what is stored is what lies there', async () => {
    const first = await place.backUp(place.file('paid.img'), 'paid')
    await writeAt(place.file('paid.img'), MiB, Buffer.alloc(MiB, 'changed '))
    const second = await place.backUp(place.file('paid.img'), 'paid')
    const before = ofSet(await cost(), 'paid')
    const sent = first.storedBytes + second.storedBytes
    // Documents come on top of what packs have.
    assert.ok(
      before.bytesSent >= sent && before.bytesSent < sent * 1.1 + 100_000,
      `${String(before.bytesSent)} of ${String(sent)}`,
    )
    assert.ok(before.requests.put >= 8, String(before.requests.put))
    await place.assertRestores(second.point, place.file('paid.img'))
    const { requests, bytesReceived, stored } = ofSet(await cost('--set', 'paid'), 'paid')
    assert.ok(requests.get > before.requests.get && bytesReceived > before.bytesReceived + sent / 2)
    assert.equal(requests.put, before.requests.put + 1, 'a restore pins its point, and puts nothing else of the set')
    assert.equal(stored['standard']?.bytes, sent)
  })

  test('prices make it money, and a budget warns', async () => {
    await writeFile(
      place.file('dear.yaml'),
      'schedule: { every: 4h }\nretention: { last: 2, daily: 3, undoWindow: 1d }\nbudget: { perMonth: 0.000001 }\n',
    )
    await place.run(['policy', 'apply', place.file('dear.yaml')])
    const { sets, total, warnings } = await cost()
    const { cost: ofPaid, stored } = ofSet({ sets } as CostAnswer, 'paid')
    const gib = (stored['standard']?.bytes ?? 0) / 1024 ** 3
    assert.ok(ofPaid.storage > 0 && ofPaid.storage <= gib * prices.providers.s3.classes.standard.perGbMonth)
    assert.ok(Math.abs(total.total - sets.reduce((sum, one) => sum + one.cost.total, 0)) < 1e-12)
    assert.deepEqual(
      warnings.map(({ code }) => code),
      ['W_BUDGET'],
    )
    const { forecast } = await cost('--forecast', '--months', '3')
    assert.equal(forecast?.months.length, 4)
    // Of each of two sets the newest two, one a day for three days, and those of two days that are on their way.
    const points = forecast.months.map((month) => month.points)
    assert.ok(
      points.slice(1).every((count) => count >= 8 && count <= 40),
      points.join(),
    )
    const pruned = await place.answersWith<{ cost: { perMonth: number; currency: string } }>(
      { env: { STRATA_PRICES: place.file('prices.json') } },
      ...['prune', '--dry-run'],
    )
    assert.equal(pruned.cost.currency, 'EUR')
    assert.ok(pruned.cost.perMonth >= 0)
    const undone = await place.answers<object>('prune', '--undo')
    assert.deepEqual(Object.keys(undone), ['points', 'objects', 'bytes', 'locked', 'cost'])
  })

  test('bad input: months, prices and policies that are none', async () => {
    await writeFile(place.file('no-prices.json'), '{"currency":"USD","providers":{}}')
    await writeFile(place.file('torn.json'), '{')
    // Also one that has other stores: a prune that could not tell what it saves begins nothing.
    const elsewhere = { currency: 'USD', providers: { s3: prices.providers.s3 } }
    await writeFile(place.file('elsewhere.json'), JSON.stringify(elsewhere))
    for (const file of ['no-prices.json', 'torn.json', 'elsewhere.json']) {
      const env = { STRATA_PRICES: place.file(file) }
      await place.refuses('E_PRICES_INVALID', ['cost'], { env })
      await place.refuses('E_PRICES_INVALID', ['prune'], { env })
    }
    const misused = [
      ['--month', '2026-13'],
      ['--month', '2099-01'],
      ['--forecast', '--months', '0'],
      ['--forecast', '--months', 'many'],
      ['--forecast', place.file('is-not-there.yaml')],
    ]
    for (const args of misused) await place.refuses('E_USAGE', ['cost', ...args], { exitCode: 2 })
    await place.refuses('E_USAGE', ['cost', '--csv'], { exitCode: 2 })
    await place.refuses('E_SET_UNKNOWN', ['cost', '--set', 'nobody'])
  })
})
