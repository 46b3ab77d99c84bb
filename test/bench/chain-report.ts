import { formatBytes } from '@strata/workers/cli/output/bytes.ts'
import type { BenchResults } from './results.ts'
import { right, type Section } from './section.ts'

/** What was measured of chains that age. */
export function chainSections({ synth }: BenchResults): Section[] {
  return [...(synth.length === 0 ? [] : [synthSection(synth)])]
}

function synthSection(synth: BenchResults['synth']): Section {
  return {
    title: 'A full out of what is stored',
    columns: [
      { title: 'store' },
      ...right(
        'dead',
        'full from the endpoint',
        'synth',
        'speed',
        'copied by the store',
        'through the worker',
        'requests',
      ),
    ],
    rows: synth.map(({ store, deadShare, fullSeconds, seconds, serverSideBytes, workerBytes, requests }) => [
      store,
      `${(100 * deadShare).toFixed(0)} %`,
      `${fullSeconds.toFixed(2)} s`,
      `${seconds.toFixed(2)} s`,
      `${(fullSeconds / seconds).toFixed(1)}×`,
      formatBytes(serverSideBytes),
      `${formatBytes(workerBytes)}, ${((100 * workerBytes) / (serverSideBytes + workerBytes)).toFixed(1)} %`,
      String(requests.requests),
    ]),
    notes: [],
  }
}
