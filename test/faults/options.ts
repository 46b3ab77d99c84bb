import { parseArgs } from 'node:util'

export interface FaultsOptions {
  readonly seeds: number
  /** The first one. */
  readonly seed: number
  readonly atOnce: number
  readonly keep: boolean
  readonly help: boolean
}

const seedsDefault = 40
const atOnceDefault = 3
const countMax = 1_000_000

export const helpText = `npm run faults [-- OPTION…]

Backs up small disks while things go wrong: processes and Redis are killed, stopped and woken, stores answer badly,
disks fill, clocks jump, sources change, agents are cloned. What must hold is checked at the end of each scenario.
What a seed does, and what was found: docs/faults.md.

  --seeds N    how many scenarios (default: ${String(seedsDefault)})
  --seed S     the first one; the others follow (default: 1)
  --at-once N  scenarios at the same time (default: ${String(atOnceDefault)})
  --keep       leave the files of a scenario in which something was wrong
  --help       this text

Ends with 0 only when nothing was wrong in any scenario.
`

/** Throws an Error that says what is wrong with the command line. */
export function parseFaultsOptions(args: readonly string[]): FaultsOptions {
  const { values } = parseArgs({
    args: [...args],
    options: {
      seeds: { type: 'string' },
      seed: { type: 'string' },
      'at-once': { type: 'string' },
      keep: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  })
  const { seeds, seed, keep, help } = values
  return {
    seeds: seeds === undefined ? (seed === undefined ? seedsDefault : 1) : parseNumber('--seeds', seeds),
    seed: seed === undefined ? 1 : parseNumber('--seed', seed),
    atOnce: values['at-once'] === undefined ? atOnceDefault : parseNumber('--at-once', values['at-once']),
    keep,
    help,
  }
}

function parseNumber(option: string, text: string): number {
  const number = Number(text)
  if (/^[0-9]{1,7}$/.test(text) && number >= 1 && number <= countMax) return number
  throw new Error(`${option} takes a number from 1 to ${String(countMax)}, not '${text}'`)
}
