import { formatBytes } from '@strata/workers/cli/output/bytes.ts'
import type { BenchResults } from './results.ts'
import { right, type Section } from './section.ts'

/** What was measured of chains that age. */
export function chainSections({ synth, manyPoints }: BenchResults): Section[] {
  return [...(synth.length === 0 ? [] : [synthSection(synth)]), ...manyPoints.map(manyPointsSection)]
}

function manyPointsSection({ store, points, sets, steps }: BenchResults['manyPoints'][number]): Section {
  return {
    title: `${String(points)} points in ${String(sets)} sets, ${store}`,
    columns: [{ title: 'strata' }, ...right('seconds', 'memory', 'requests')],
    rows: steps.map(({ command, seconds, peakBytes, requests }) => [
      command,
      seconds.toFixed(2),
      formatBytes(peakBytes),
      requests === null ? '' : String(requests),
    ]),
    notes: ['The first list is from manifests alone, those after the rebuild with the catalogue.'],
  }
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
