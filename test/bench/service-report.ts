import { formatBytes } from '@strata/workers/cli/output/bytes.ts'
import type { BenchResults, FleetResult, FleetRound } from './results.ts'
import { right, type Section } from './section.ts'
import { redisFamilies } from './service/redis-use.ts'
import { median, percentile, slope } from './statistics.ts'

const bytesPerMegabyte = 1e6
const GiB = 1024 ** 3

/** What was measured of a service. */
export function serviceSections({ fleet, uneven, upload, scaling }: BenchResults): Section[] {
  return [
    ...(fleet === null ? [] : [fleetSection(fleet), fleetCostSection(fleet), redisSection(fleet)]),
    ...(uneven === null ? [] : [unevenSection(uneven)]),
    ...(upload === null ? [] : [uploadSection(upload)]),
    scalingSection(scaling),
  ]
}

function nameOf(round: number): string {
  return round === 0 ? 'fulls' : `increments ${String(round)}`
}

function fleetSection({ agents, atOnce, diskBytes, changedBytes, rounds }: FleetResult): Section {
  const growth = slope(rounds.slice(1).map(({ serviceResidentBytes }) => serviceResidentBytes))
  return {
    title: `A service with ${String(agents)} endpoints, ${String(atOnce)} of them at once: disks of ${formatBytes(diskBytes)}, ${formatBytes(changedBytes)} changed`,
    columns: [
      { title: 'round' },
      ...right(
        'points/min',
        'backup p50',
        'p99',
        'sent → visible p50',
        'p99',
        'memory of the service',
        'others’ CPU s',
      ),
    ],
    rows: rounds.map((round, index) => [
      nameOf(index),
      ((60 * round.points) / round.seconds).toFixed(0),
      ...[percentile(round.backupSeconds, 0.5), percentile(round.backupSeconds, 0.99)].map(inSeconds),
      ...[percentile(round.commitSeconds, 0.5), percentile(round.commitSeconds, 0.99)].map(inSeconds),
      formatBytes(round.serviceResidentBytes),
      round.othersCpuSeconds.toFixed(1),
    ]),
    notes: [
      'Agents, service, store and Redis share the machine.',
      `The service’s memory grows by ${(growth / bytesPerMegabyte).toFixed(1)} MB a round of increments.`,
    ],
  }
}

function inSeconds(seconds: number): string {
  return `${seconds.toFixed(2)} s`
}

function fleetCostSection({ rounds }: FleetResult): Section {
  const each = (round: FleetRound, total: number): string => (total / round.points).toFixed(1)
  return {
    title: 'What one point costs',
    columns: [
      { title: 'round' },
      ...right('CPU ms: service', 'Redis', 'agent', 'requests', 'PUT', 'GET', 'HEAD', 'LIST', 'DELETE'),
    ],
    rows: rounds.map((round, index) => [
      nameOf(index),
      ...[round.serviceCpuSeconds, round.redisCpuSeconds, round.agentsCpuSeconds].map((seconds) =>
        each(round, 1000 * seconds),
      ),
      each(round, round.requests.requests),
      ...(['put', 'get', 'head', 'list', 'delete'] as const).map((kind) =>
        each(round, round.requests.byKind[kind].requests),
      ),
    ]),
    notes: [],
  }
}

function redisSection({ rounds }: FleetResult): Section {
  const increments = rounds.slice(1)
  const rest = slope(increments.map(({ redis }) => redis.byFamily.other.bytes + redis.byFamily.admission.bytes))
  const used = slope(increments.map(({ redis }) => redis.usedBytes))
  return {
    title: 'What Redis holds',
    columns: [{ title: 'after' }, ...right('memory used', ...redisFamilies.map((family) => `${family}: keys, bytes`))],
    rows: rounds.map(({ redis }, index) => [
      nameOf(index),
      formatBytes(redis.usedBytes),
      ...redisFamilies.map((family) => {
        const { keys, bytes } = redis.byFamily[family]
        return `${String(keys)}, ${formatBytes(bytes)}`
      }),
    ]),
    notes: [
      'Tokens are remembered for minutes; of jobs and events the last ones are kept: all three have a bound.',
      `A round of increments adds ${formatBytes(Math.max(0, used))}, of which ${formatBytes(Math.max(0, rest))} has no such bound.`,
    ],
  }
}

function unevenSection({ small, largeBytes, alone, beside, besideSeconds, storedBytes }: UnevenResult): Section {
  const figures = (backups: UnevenResult['alone']): number[] => {
    const seconds = backups.map((one) => one.seconds)
    const commits = backups.map((one) => one.commitSeconds)
    return [median(seconds), percentile(seconds, 0.95), Math.max(...seconds), median(commits)]
  }
  const row = (title: string, backups: UnevenResult['alone']): string[] => [
    title,
    String(backups.length),
    ...figures(backups).map(inSeconds),
  ]
  const [first, second] = [figures(alone), figures(beside)]
  const ratios = second.map((value, index) => `${(value / (first[index] ?? value)).toFixed(2)}×`)
  return {
    title: `Small backups of ${String(small)} endpoints of one tenant, one after the other`,
    columns: [{ title: 'beside' }, ...right('backups', 'median', 'p95', 'slowest', 'sent → visible, median')],
    rows: [
      row('nobody', alone),
      row(`a tenant that sends fulls of ${formatBytes(largeBytes)} without pause`, beside),
      ['ratio', '', ...ratios],
    ],
    notes: [
      `Beside the large one ${formatBytes(storedBytes)} were stored in ${besideSeconds.toFixed(0)} s, nearly all of them its own.`,
    ],
  }
}

type UnevenResult = NonNullable<BenchResults['uneven']>

function uploadSection({ diskBytes, seconds, localSeconds, serviceCpuSeconds }: UploadResult): Section {
  const row = (way: string, times: readonly number[]): string[] => [
    way,
    inSeconds(median(times)),
    times.map((time) => time.toFixed(1)).join(' '),
    (diskBytes / median(times) / bytesPerMegabyte).toFixed(0),
  ]
  return {
    title: `A full of ${formatBytes(diskBytes)} that cannot be compressed`,
    columns: [{ title: 'way' }, ...right('seconds', 'each', 'MB/s', 'CPU s of the service')],
    rows: [
      [...row('through the gateway', seconds), median(serviceCpuSeconds).toFixed(1)],
      [...row('strata backup', localSeconds), ''],
    ],
    notes: [`Through the gateway it takes ${(median(seconds) / median(localSeconds)).toFixed(2)}× as long.`],
  }
}

type UploadResult = NonNullable<BenchResults['upload']>

function scalingSection(scaling: BenchResults['scaling']): Section {
  const first = scaling[0]
  return {
    title: `A backlog of ${formatBytes(first?.bytes ?? 0)} in a staging area (S3)`,
    columns: [{ title: 'worker processes' }, ...right('seconds', 'MB/s', 'speed', 'CPU s per GiB')],
    rows: scaling.map(({ workers, bytes, seconds, serviceCpuSeconds }) => [
      String(workers),
      seconds.toFixed(1),
      (bytes / seconds / bytesPerMegabyte).toFixed(0),
      `${((first?.seconds ?? seconds) / seconds).toFixed(2)}×`,
      (serviceCpuSeconds / (bytes / GiB)).toFixed(1),
    ]),
    notes: ['The store keeps everything in memory and takes its part of the same processors.'],
  }
}
