import type { Step } from './contestants/contestant.ts'
import type {
  BenchResults,
  MemoryResult,
  MountResult,
  ScrubResult,
  SpeedResult,
  SynthResult,
  Target,
  UnevenResult,
} from './results.ts'
import { median } from './statistics.ts'

type Measured = Omit<BenchResults, 'targets'>

const MiB = 1024 ** 2
const GiB = 1024 ** 3

const timesResticFull = 2
const timesBorgFull = 1.4
const storedOfResticMax = 1.1
const timesResticRescan = 3
const timesResticRestore = 3
const pointsSecondsMax = 0.7
const smallSecondsMax = 3
const agentBytesMax = 200 * MiB
const workerBytesMax = 600 * MiB
const requestsPerGiBMax = 80
const besideTimesMax = 2
/** With so much of the old chain dead the targets for synthetic fulls hold. */
const synthDeadShare = 0.01
const synthTimesMin = 5
const synthWorkerShareMax = 0.1
const scrubShareMin = 0.7
const mountShareMin = 0.6
const randomReadMsMax = 10
/** How much longer the last point of a long chain may take to open than the first one. */
const lastOpenTimesMax = 1.25

/** Every target whose figures were measured. */
export function judge(results: Measured): Target[] {
  return [
    ...fasterThan(results, 'full', 'restic', timesResticFull),
    ...fasterThan(results, 'full', 'borg', timesBorgFull),
    ...storedComparedWith(results, 'restic'),
    ...fasterThan(results, 'rescan', 'restic', timesResticRescan),
    ...fasterThan(results, 'restore', 'restic', timesResticRestore),
    ...within('strata points', results.points?.seconds, pointsSecondsMax),
    ...within('backup of an unchanged 100 MiB image', results.small?.seconds, smallSecondsMax),
    ...results.memory.flatMap(memoryTargets),
    ...results.requests.flatMap(requestTargets),
    ...(results.uneven === null ? [] : [besideTarget(results.uneven)]),
    ...results.synth.filter(({ deadShare }) => deadShare === synthDeadShare).flatMap(synthTargets),
    ...(results.scrub === null ? [] : [scrubTarget(results.scrub)]),
    ...(results.mount === null ? [] : mountTargets(results.mount)),
  ]
}

function synthTargets({ store, fullSeconds, seconds, serverSideBytes, workerBytes }: SynthResult): Target[] {
  const times = fullSeconds / seconds
  const share = workerBytes / (serverSideBytes + workerBytes)
  return [
    {
      title: `synthetic full compared with a full from the endpoint, ${store}`,
      wanted: `≥ ${synthTimesMin.toFixed(1)}×`,
      measured: `${times.toFixed(2)}×`,
      met: times >= synthTimesMin,
    },
    {
      title: `of a synthetic full through the worker, ${store}`,
      wanted: `≤ ${(100 * synthWorkerShareMax).toFixed(0)} %`,
      measured: `${(100 * share).toFixed(2)} %`,
      met: share <= synthWorkerShareMax,
    },
  ]
}

function mountTargets({ strataSeconds, nbdkitSeconds, randomReadMs, ...open }: MountResult): Target[] {
  const share = median(nbdkitSeconds) / median(strataSeconds)
  const randomMs = median(randomReadMs)
  const times = median(open.lastOpenSeconds) / median(open.firstOpenSeconds)
  return [
    {
      title: 'a disk read over NBD, compared with nbdkit on the raw image',
      wanted: `≥ ${mountShareMin.toFixed(2)}×`,
      measured: `${share.toFixed(2)}×`,
      met: share >= mountShareMin,
    },
    {
      title: '4 KiB anywhere on it, nothing cached',
      wanted: `≤ ${String(randomReadMsMax)} ms`,
      measured: `${randomMs.toFixed(1)} ms`,
      met: randomMs <= randomReadMsMax,
    },
    {
      title: `opening point ${String(open.points)} of a chain, compared with the first`,
      wanted: `≤ ${lastOpenTimesMax.toFixed(2)}×`,
      measured: `${times.toFixed(2)}×`,
      met: times <= lastOpenTimesMax,
    },
  ]
}

function find(results: Measured, step: Step, contestant: string): SpeedResult | undefined {
  return results.speed.find((one) => one.step === step && one.contestant === contestant)
}

const stepsInWords: Readonly<Record<Step, string>> = {
  full: 'full backup',
  rescan: 'unchanged disk scanned again',
  restore: 'restore',
  changed: 'incremental backup',
}

function fasterThan(results: Measured, step: Step, other: string, factorMin: number): Target[] {
  const [ours, theirs] = [find(results, step, 'strata'), find(results, step, other)]
  if (ours === undefined || theirs === undefined) return []
  const factor = median(theirs.seconds) / median(ours.seconds)
  return [
    {
      title: `${stepsInWords[step]}, speed compared with ${other} (${theirs.way})`,
      wanted: `≥ ${factorMin.toFixed(1)}×`,
      measured: `${factor.toFixed(2)}×`,
      met: factor >= factorMin,
    },
  ]
}

function storedComparedWith(results: Measured, other: string): Target[] {
  const [ours, theirs] = [find(results, 'full', 'strata'), find(results, 'full', other)]
  if (ours === undefined || theirs === undefined) return []
  const factor = median(ours.storedBytes) / median(theirs.storedBytes)
  return [
    {
      title: `full backup, stored compared with ${other}`,
      wanted: `≤ ${storedOfResticMax.toFixed(2)}×`,
      measured: `${factor.toFixed(3)}×`,
      met: factor <= storedOfResticMax,
    },
  ]
}

function within(title: string, seconds: readonly number[] | undefined, secondsMax: number): Target[] {
  if (seconds === undefined) return []
  const measured = median(seconds)
  return [
    {
      title,
      wanted: `≤ ${secondsMax.toFixed(1)} s`,
      measured: `${measured.toFixed(2)} s`,
      met: measured <= secondsMax,
    },
  ]
}

/** Strict: the launcher counts as agent, and Redis as worker. A restore has one process and no target of its own. */
function memoryTargets({ image, command, memory }: MemoryResult): Target[] {
  if (command === 'restore') return []
  const atMost = (title: string, bytes: number, bytesMax: number): Target => ({
    title: `${title}, peak memory, ${command} of ${image}`,
    wanted: `≤ ${String(bytesMax / MiB)} MiB`,
    measured: `${(bytes / MiB).toFixed(0)} MiB`,
    met: bytes <= bytesMax && bytes > 0,
  })
  return [
    atMost('agent side', memory.commandBytes + memory.launcherBytes, agentBytesMax),
    atMost('worker side', memory.serviceBytes + memory.redisBytes, workerBytesMax),
  ]
}

function requestTargets({ kind, changedBytes, requests }: BenchResults['requests'][number]): Target[] {
  // A little change needs its first requests too: per GiB only counts from a GiB on.
  if (changedBytes < GiB) return []
  const perGiB = requests.requests / (changedBytes / GiB)
  return [
    {
      title: `requests to S3 per GiB of changed data, ${kind} backup (${String(requests.byKind.list.requests)} LIST)`,
      wanted: `≤ ${String(requestsPerGiBMax)}`,
      measured: perGiB.toFixed(1),
      met: perGiB <= requestsPerGiBMax,
    },
  ]
}

/** Beside one that did not come to send anything nothing was shown. */
function besideTarget({ alone, beside, storedBytes, largeBytes }: UnevenResult): Target {
  const typical = (backups: UnevenResult['alone']): number => median(backups.map(({ seconds }) => seconds))
  const factor = typical(beside) / typical(alone)
  return {
    title: 'a small backup beside a tenant that sends without pause, time compared with alone',
    wanted: `≤ ${besideTimesMax.toFixed(1)}×`,
    measured: `${factor.toFixed(2)}×`,
    met: factor <= besideTimesMax && storedBytes >= largeBytes / 4,
  }
}

function scrubTarget({ readSeconds, scrubSeconds }: ScrubResult): Target {
  const share = median(readSeconds) / median(scrubSeconds)
  return {
    title: 'scrub, speed compared with the plain reading of the same objects',
    wanted: `≥ ${scrubShareMin.toFixed(2)}×`,
    measured: `${share.toFixed(2)}×`,
    met: share >= scrubShareMin,
  }
}
