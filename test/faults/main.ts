/** `npm run faults`: scenarios by their seeds, a few at a time, and what was wrong in them. docs/faults.md. */
import { helpText, parseFaultsOptions, type FaultsOptions } from './options.ts'
import { planOf } from './plan.ts'
import { runScenario, type SeedReport } from './run-seed.ts'
import type { Scenario } from './scenario.ts'
import { missingFor, startSurroundings } from './surroundings.ts'
import { inWords } from './words.ts'

function say(...lines: readonly string[]): void {
  process.stdout.write(`${lines.join('\n')}\n`)
}

async function main(options: FaultsOptions): Promise<boolean> {
  const scenarios = Array.from({ length: options.seeds }, (_, index) => planOf(options.seed + index))
  const possible = scenarios.filter((scenario) => {
    const missing = missingFor(scenario)
    if (missing !== undefined) say(`seed ${String(scenario.seed)} is left out: ${missing}`)
    return missing === undefined
  })
  const surroundings = await startSurroundings(possible)
  const reports: SeedReport[] = []
  try {
    const waiting = [...possible]
    const take = async (): Promise<void> => {
      for (let scenario = waiting.shift(); scenario !== undefined; scenario = waiting.shift()) {
        const report = await runScenario(scenario, surroundings, options.keep)
        reports.push(report)
        tell(scenario, report, options.seeds === 1)
      }
    }
    await Promise.all(Array.from({ length: options.atOnce }, take))
  } finally {
    await surroundings.stop()
  }
  return summarise(reports) && possible.length === scenarios.length
}

function tell(scenario: Scenario, report: SeedReport, inFull: boolean): void {
  const { seed, durationMs, runs, succeeded, resumed, struck, points, problems, directory } = report
  const counts = `${String(runs)} runs, ${String(succeeded)} succeeded, ${String(resumed)} went on; ${String(points)} points; ${String(struck)} faults struck`
  const verdict = problems.length === 0 ? 'ok' : 'WRONG'
  say(`seed ${String(seed)}: ${verdict} in ${(durationMs / 1000).toFixed(1)} s: ${counts}`)
  if (inFull || problems.length > 0) say(...inWords(scenario))
  if (problems.length === 0) return
  say(...problems.map((problem) => `  ! ${problem}`), `  again: npm run faults -- --seed ${String(seed)} --keep`)
  if (directory !== undefined) say(`  its files: ${directory}`)
}

function summarise(reports: readonly SeedReport[]): boolean {
  const sum = (of: (report: SeedReport) => number): string =>
    String(reports.reduce((all, report) => all + of(report), 0))
  const wrong = reports.filter(({ problems }) => problems.length > 0).map(({ seed }) => seed)
  const counts = [
    `${sum(({ runs }) => runs)} runs (${sum(({ succeeded }) => succeeded)} succeeded, ${sum(({ resumed }) => resumed)} went on)`,
    `${sum(({ points }) => points)} points`,
    `${sum(({ struck }) => struck)} faults struck`,
    `${sum(({ acknowledgedBytes }) => acknowledgedBytes)} bytes not sent again`,
  ]
  say(`${String(reports.length)} scenarios: ${counts.join(', ')}`)
  say(wrong.length === 0 ? 'nothing was wrong' : `wrong: seeds ${wrong.sort((a, b) => a - b).join(', ')}`)
  return wrong.length === 0
}

const options = parseFaultsOptions(process.argv.slice(2))
if (options.help) say(helpText)
else process.exitCode = (await main(options)) ? 0 : 1
