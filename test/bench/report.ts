import { formatBytes } from '@strata/workers/cli/output/bytes.ts'
import { tableLines, type Column } from '@strata/workers/cli/output/table.ts'
import { stepTitles } from './contestants/contestant.ts'
import type { ProfileSummary } from './parts/profile.ts'
import type { BenchResults, MemoryResult, MountResult, RequestsResult, ScrubResult, SpeedResult } from './results.ts'
import { right, type Section } from './section.ts'
import { chainSections } from './chain-report.ts'
import { serviceSections } from './service-report.ts'
import { median, percentile } from './statistics.ts'

const bytesPerMegabyte = 1e6
const GiB = 1024 ** 3

export function terminalReport(results: BenchResults): string {
  const parts = sections(results).map(({ title, columns, rows, notes }) =>
    [title, '', ...tableLines(columns, rows), ...(notes.length === 0 ? [] : ['', ...notes])].join('\n'),
  )
  return `${[...parts, machineLines(results).join('\n')].join('\n\n')}\n`
}

export function markdownReport(results: BenchResults): string {
  const parts = sections(results).map(({ title, columns, rows, notes }) =>
    [`### ${title}`, '', ...markdownTable(columns, rows), ...notes.flatMap((note) => ['', note])].join('\n'),
  )
  const machine = ['### The machine', '', ...machineLines(results).map((line) => `- ${line}`)].join('\n')
  return `${[...parts, machine].join('\n\n')}\n`
}

function sections(results: BenchResults): Section[] {
  return [
    speedSection(results),
    latencySection(results),
    memorySection(results.memory),
    requestsSection(results.requests),
    ...chainSections(results),
    ...serviceSections(results),
    ...(results.scrub === null ? [] : [scrubSection(results.scrub)]),
    ...(results.mount === null ? [] : [mountSection(results.mount)]),
  ]
    .concat(results.profile.map(profileSection), targetsSection(results))
    .filter(({ rows }) => rows.length > 0)
}

function speedSection({ speed, image, runs }: BenchResults): Section {
  const dataBytes = image?.dataBytes ?? 0
  const slower = speed.flatMap(({ contestant, slowerWays, way }) =>
    slowerWays.map((one) => `${contestant} ${one.way} took ${one.seconds.toFixed(1)} s, so ${way} counts.`),
  )
  return {
    title: `Speed: ${formatBytes(dataBytes)} of data on a disk of ${formatBytes(image?.sizeBytes ?? 0)}, ${runsInWords(runs)}`,
    columns: [
      { title: 'step' },
      { title: 'program' },
      ...right('seconds', 'of it', 'MB/s', 'strata is', 'CPU s', 'others’ CPU s', 'stored', 'peak memory'),
    ],
    rows: speed.map((one) => speedRow(one, speed, dataBytes)),
    notes: [
      'MB/s counts data without holes. “others’ CPU s” is what other programs of the machine took meanwhile.',
      ...slower,
    ],
  }
}

function mountSection({ strataSeconds, nbdkitSeconds, randomReadMs, points, ...open }: MountResult): Section {
  const seconds = (values: readonly number[]): string => `${median(values).toFixed(2)} s`
  return {
    title: 'A disk over NBD',
    columns: [{ title: '' }, ...right('time')],
    rows: [
      ['nbdcopy from nbdkit, raw image', seconds(nbdkitSeconds)],
      ['nbdcopy from strata mount', seconds(strataSeconds)],
      ['4 KiB anywhere, median', `${median(randomReadMs).toFixed(2)} ms`],
      ['4 KiB anywhere, 95 of 100', `${percentile(randomReadMs, 0.95).toFixed(2)} ms`],
      ['first byte of point 1, program included', seconds(open.firstOpenSeconds)],
      [`first byte of point ${String(points)}`, seconds(open.lastOpenSeconds)],
    ],
    notes: ['Nothing of image and store was in the cache of the system.'],
  }
}

function scrubSection({ bytes, readSeconds, scrubSeconds }: ScrubResult): Section {
  const row = (way: string, times: readonly number[]): string[] => [
    way,
    median(times).toFixed(2),
    times.map((time) => time.toFixed(2)).join(' '),
    (bytes / median(times) / bytesPerMegabyte).toFixed(0),
  ]
  return {
    title: `A scrub of ${formatBytes(bytes)} in a directory`,
    columns: [{ title: 'what' }, ...right('seconds', 'each', 'MB/s')],
    rows: [row('plain reading', readSeconds), row('scrub', scrubSeconds)],
    notes: [],
  }
}

function speedRow(one: SpeedResult, all: readonly SpeedResult[], dataBytes: number): string[] {
  const seconds = median(one.seconds)
  const ours = all.find(({ step, contestant }) => step === one.step && contestant === 'strata')
  const isOurs = ours === undefined || ours === one
  return [
    stepTitles[one.step],
    `${one.contestant} ${one.way}`,
    seconds.toFixed(2),
    one.seconds.length === 1 ? '' : one.seconds.map((value) => value.toFixed(1)).join(' '),
    (dataBytes / seconds / bytesPerMegabyte).toFixed(0),
    isOurs ? '' : `${(seconds / median(ours.seconds)).toFixed(2)}× as fast`,
    median(one.cpuSeconds).toFixed(1),
    median(one.othersCpuSeconds).toFixed(1),
    one.storedBytes.length === 0 ? '' : formatBytes(median(one.storedBytes)),
    formatBytes(one.peakBytes),
  ]
}

function latencySection({ points, small }: BenchResults): Section {
  const row = (title: string, seconds: readonly number[] | undefined): string[][] => {
    if (seconds === undefined) return []
    const range = `${Math.min(...seconds).toFixed(2)} to ${Math.max(...seconds).toFixed(2)}`
    return [[title, String(seconds.length), median(seconds).toFixed(2), range]]
  }
  return {
    title: 'Small things',
    columns: [{ title: 'command' }, ...right('runs', 'seconds', 'from … to')],
    rows: [
      ...row('strata points', points?.seconds),
      ...row('strata backup of an unchanged 100 MiB image, with a private Redis', small?.seconds),
    ],
    notes: [],
  }
}

function memorySection(memory: readonly MemoryResult[]): Section {
  return {
    title: 'Peak resident memory of strata',
    columns: [
      { title: 'image' },
      { title: 'command' },
      ...right('data', 's', 'command', 'launcher', 'service', 'Redis'),
    ],
    rows: memory.map(
      ({ image, command, dataBytes, seconds, memory: { commandBytes, launcherBytes, serviceBytes, redisBytes } }) => [
        image,
        command,
        formatBytes(dataBytes),
        seconds.toFixed(1),
        formatBytes(commandBytes),
        ...[launcherBytes, serviceBytes, redisBytes].map((bytes) => (bytes === 0 ? '–' : formatBytes(bytes))),
      ],
    ),
    notes: [
      'The command is the agent side of a backup. The launcher is there only where the machine’s own Node is too old.',
    ],
  }
}

function requestsSection(requests: readonly RequestsResult[]): Section {
  return {
    title: 'Requests to an S3 store',
    columns: [{ title: 'backup' }, ...right('changed', 'requests', 'PUT', 'GET', 'HEAD', 'LIST', 'DELETE', 'per GiB')],
    rows: requests.map(({ kind, changedBytes, requests: { requests: all, byKind } }) => [
      kind,
      formatBytes(changedBytes),
      ...[all, ...(['put', 'get', 'head', 'list', 'delete'] as const).map((one) => byKind[one].requests)].map(String),
      changedBytes < GiB ? 'less than a GiB' : (all / (changedBytes / GiB)).toFixed(1),
    ]),
    notes: [],
  }
}

function profileSection({ command, seconds, threads, cpuSeconds, functions }: ProfileSummary): Section {
  return {
    title: `Where ${cpuSeconds.toFixed(1)} s of CPU time of a ${command} go (${String(threads)} threads in ${seconds.toFixed(1)} s)`,
    columns: [{ title: 'function' }, ...right('seconds', 'share')],
    rows: functions.map((one) => [
      one.name,
      one.seconds.toFixed(2),
      `${((one.seconds / cpuSeconds) * 100).toFixed(1)} %`,
    ]),
    notes: [
      'Native code counts for the JavaScript function that calls it; waiting for the disk in such a call counts as well.',
    ],
  }
}

function targetsSection({ targets }: BenchResults): Section {
  const missed = targets.filter(({ met }) => !met).length
  return {
    title: 'Targets',
    columns: [{ title: 'what' }, ...right('wanted', 'measured'), { title: 'met' }],
    rows: targets.map(({ title, wanted, measured, met }) => [title, wanted, measured, met ? 'yes' : 'NO']),
    notes: [`${String(targets.length - missed)} of ${String(targets.length)} targets met.`],
  }
}

function machineLines({ machine, startedAt, quick, failures }: BenchResults): string[] {
  return [
    `${machine.system}, ${machine.processor}, ${String(machine.cores)} cores, ${formatBytes(machine.memoryBytes)} of memory`,
    `work directory on ${machine.fileSystem}, load ${machine.loadAtStart.toFixed(1)} at the start, ${startedAt}`,
    ...Object.entries(machine.versions).map(([name, version]) => `${name}: ${version}`),
    ...(quick ? ['--quick: a small image; figures of a full run can differ much'] : []),
    ...failures.map((failure) => `NOT MEASURED: ${failure.split('\n')[0] ?? ''}`),
  ]
}

function runsInWords(runs: number): string {
  return runs === 1 ? 'one run' : `medians of ${String(runs)} runs`
}

function markdownTable(columns: readonly Column[], rows: readonly (readonly string[])[]): string[] {
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`
  return [
    line(columns.map(({ title }) => title)),
    line(columns.map(({ align }) => (align === 'right' ? '--:' : '---'))),
    ...rows.map((cells) => line(columns.map((_, index) => cells[index] ?? ''))),
  ]
}
