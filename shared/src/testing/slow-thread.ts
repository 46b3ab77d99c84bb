import { writeFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { announceLoaded } from '../threads/loaded.ts'

/** A thread whose modules take their time; it leaves a file, named in the environment, when they are there. */
await sleep(300)
writeFileSync(process.env['STRATA_TEST_LOADED'] ?? '', '')
announceLoaded()

export default function double(number: number): number {
  return 2 * number
}
