import { parseArgs } from 'node:util'
import { steps, type Step } from './contestants/contestant.ts'

const serviceParts = ['fleet', 'uneven', 'upload'] as const
export const partNames = [
  ...steps,
  'points',
  'small',
  'memory',
  'synth',
  'many-points',
  'requests',
  'profile',
  ...serviceParts,
  'scaling',
  'scrub',
  'mount',
] as const
export type PartName = (typeof partNames)[number]

export interface BenchOptions {
  readonly quick: boolean
  readonly runs: number
  readonly parts: ReadonlySet<PartName>
  /** Programs and libraries in the image that all contestants back up. */
  readonly filesBytes: number
  readonly outDirectory: string
  readonly workDirectory: string | undefined
  readonly keep: boolean
  readonly withS3: boolean
  readonly help: boolean
}

const GiB = 1024 ** 3
const filesBytesFull = Math.ceil(5.2 * GiB)
const filesBytesQuick = 1 * GiB
const runsFull = 3
const runsQuick = 1
/** Need a server of their own, or slow down what they look at. */
const partsOnRequest: readonly PartName[] = ['requests', 'profile', 'scaling']

export const helpText = `npm run bench [-- OPTION…]

Measures strata against restic and borg, in turns, on an image full of this machine's programs and libraries.
How, and what the figures mean: docs/benchmarks.md.

  --quick         1 GiB of data and one run of everything: to see that it works; its figures say little
  --runs N        repetitions; the medians count (default: ${String(runsFull)}, with --quick ${String(runsQuick)})
  --only PART,…   of: ${partNames.slice(0, 11).join(', ')},
                  ${partNames.slice(11).join(', ')};
                  service stands for ${serviceParts.join(', ')}
                  (full: full backup, rescan: of an unchanged disk, changed: incremental after 2 % changed,
                  points: strata points, small: an unchanged 100 MiB image, memory: peaks on three images,
                  synth: a full out of what is stored, many-points: lists and plans of 10,000 points, requests: to an S3 store, profile: where the CPU time goes,
                  fleet: small backups of many endpoints by way of a service, uneven: small ones beside a tenant
                  that sends without pause, upload: a full through the gateway, scaling: two workers for one,
                  scrub: beside the plain reading of the same objects, mount: a disk over NBD, beside nbdkit)
  --skip PART,…   all of the usual parts but these
  --with-s3       also count requests on S3, and scaling, and synth there; starts a Ceph RGW that keeps everything in memory
  --profile       also take CPU profiles of a full backup and a restore
  --data SIZE     programs and libraries in the image, such as 3G (default: 5.2G, with --quick 1G)
  --out DIR       where results go (default: bench-results)
  --work DIR      where images and repositories lie while it runs (default: a new folder in the temporary directory)
  --keep          leave them there; images found in --work DIR are used again
  --help          this text
`

/** Throws an Error that says what is wrong with the command line. */
export function parseBenchOptions(args: readonly string[]): BenchOptions {
  const { values } = parseArgs({
    args: [...args],
    options: {
      quick: { type: 'boolean', default: false },
      runs: { type: 'string' },
      only: { type: 'string' },
      skip: { type: 'string' },
      'with-s3': { type: 'boolean', default: false },
      profile: { type: 'boolean', default: false },
      data: { type: 'string' },
      out: { type: 'string', default: 'bench-results' },
      work: { type: 'string' },
      keep: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  })
  const { quick, keep, help } = values
  const parts = new Set(values.only === undefined ? defaultParts : parseParts(values.only, '--only'))
  if (values['with-s3']) parts.add('requests').add('scaling')
  if (values.profile) parts.add('profile')
  for (const part of values.skip === undefined ? [] : parseParts(values.skip, '--skip')) parts.delete(part)
  return {
    quick,
    runs: values.runs === undefined ? (quick ? runsQuick : runsFull) : parseRuns(values.runs),
    parts,
    filesBytes: values.data === undefined ? (quick ? filesBytesQuick : filesBytesFull) : parseSize(values.data),
    outDirectory: values.out,
    workDirectory: values.work,
    keep,
    withS3: values['with-s3'],
    help,
  }
}

const defaultParts: readonly PartName[] = partNames.filter((name) => !partsOnRequest.includes(name))

function parseParts(text: string, option: string): PartName[] {
  return text.split(',').flatMap((name) => (name === 'service' ? serviceParts : [parsePart(name, option)]))
}

function parsePart(text: string, option: string): PartName {
  const part = partNames.find((name) => name === text)
  if (part === undefined) throw new Error(`${option} takes service, ${partNames.join(', ')}, not '${text}'`)
  return part
}

function parseRuns(text: string): number {
  if (/^[1-9][0-9]?$/.test(text)) return Number(text)
  throw new Error(`--runs takes a number from 1 to 99, not '${text}'`)
}

function parseSize(text: string): number {
  const { count, unit } = /^(?<count>[0-9]{1,4}(\.[0-9]+)?)(?<unit>[MG])$/i.exec(text)?.groups ?? {}
  const bytes = Number(count) * (unit?.toUpperCase() === 'M' ? 1024 ** 2 : GiB)
  if (bytes >= GiB / 4) return Math.round(bytes)
  throw new Error(`--data takes a size from 256M on, such as 3G, not '${text}'`)
}

/** Whether contestants have to run at all, and at what. A full backup comes before everything else. */
export function speedSteps(parts: ReadonlySet<PartName>): Step[] {
  const wanted = steps.filter((step) => parts.has(step))
  return wanted.length === 0 ? [] : steps.filter((step) => step === 'full' || wanted.includes(step))
}
