/**
 * `npm run demo`: a disk goes in, and every point of it comes back to the byte. The work is done by the program
 * `strata` as a user starts it; this program only builds the disk, changes it, and compares.
 */
import { mkdir, mkdtemp, rm, rmdir, stat, statfs } from 'node:fs/promises'
import { join, relative } from 'node:path'
import { formatBytes, formatCount, formatDuration } from '@strata/workers/cli/output/bytes.ts'
import { fileSystemOf } from '../fixtures/disk-image.ts'
import { projectRoot } from '../fixtures/real-files.ts'
import {
  askStrata,
  type BackupAnswer,
  type PointAnswer,
  type RestoreAnswer,
  type VerifyAnswer,
} from '../fixtures/strata-program.ts'
import { runTool } from '../fixtures/tool.ts'
import { DemoDisk } from './demo-disk.ts'
import { openDemoStore, type DemoStore } from './demo-store.ts'
import { Narrator, shellQuoted } from './narrator.ts'
import { helpText, parseDemoOptions, type DemoOptions } from './options.ts'

const setName = 'demo'
const passphrase = 'a passphrase for the demo only'
const shownIdChars = 12
/** The disk, a copy of it per point, the store, and one restored disk. */
const spacePerDataByte = 6

/** A point, and the disk as it was when the point was made. */
interface Moment {
  readonly name: string
  readonly point: string
  readonly copyPath: string
}

class Demo {
  readonly #narrator: Narrator
  readonly #directory: string
  readonly #store: DemoStore
  readonly #signal: AbortSignal
  readonly #moments: Moment[] = []

  constructor(narrator: Narrator, directory: string, store: DemoStore, signal: AbortSignal) {
    this.#narrator = narrator
    this.#directory = directory
    this.#store = store
    this.#signal = signal
  }

  async run(dataBytes: number): Promise<void> {
    const narrator = this.#narrator
    narrator.chapter('A disk')
    const disk = await this.#timed(
      () => DemoDisk.build(join(this.#directory, 'disk.img'), dataBytes, narrator),
      async (built, durationMs) => {
        narrator.result({ step: 'build the disk', bytes: await built.dataBytes(), durationMs })
      },
    )
    await this.#init()
    await this.#backup('full', disk, [])
    narrator.chapter('The disk changes')
    await disk.change(narrator)
    await this.#backup('incremental', disk, [])
    narrator.chapter('The disk changes once more')
    await disk.change(narrator)
    await this.#backup('differential', disk, ['--differential'])
    await this.#points()
    for (const moment of this.#moments) await this.#restore(moment)
    await this.#verify()
    narrator.table()
  }

  async #init(): Promise<void> {
    const narrator = this.#narrator
    narrator.chapter(`A store: ${this.#store.description}`)
    for (const [name, value] of Object.entries(strataVariables(this.#store.url, this.#directory))) {
      narrator.say(`$ export ${name}=${shellQuoted(value)}`)
    }
    const credentials = Object.keys(this.#store.env)
    if (credentials.length > 0) narrator.say(`(and ${credentials.join(', ')} of the server that was just started)`)
    await this.#strata(['init', '--tenant', 'demo'])
  }

  async #backup(
    kind: 'full' | 'incremental' | 'differential',
    disk: DemoDisk,
    options: readonly string[],
  ): Promise<void> {
    const narrator = this.#narrator
    narrator.chapter(`${kind.charAt(0).toUpperCase()}${kind.slice(1)} backup`)
    const args = ['backup', this.#shown(disk.image.path), '--set', setName, ...options]
    await this.#timed(
      () => this.#strata<BackupAnswer>(args),
      async (answer, durationMs) => {
        if (answer.kind !== kind) throw new Error(`the point should be ${kind}, and is ${answer.kind}`)
        const { changedBytes, storedBytes, bytesRead, requests } = answer
        const id = answer.point.slice(0, shownIdChars)
        narrator.say(`Point ${id}: ${formatBytes(bytesRead)} read, ${formatBytes(changedBytes)} changed,`)
        narrator.say(
          `${formatBytes(storedBytes)} stored with ${formatCount(requests.requests, 'request')} in ${formatDuration(durationMs)}.`,
        )
        narrator.result({
          step: `${kind} backup`,
          bytes: bytesRead,
          durationMs,
          changedBytes,
          storedBytes,
          requests: requests.requests,
        })
        const copyPath = join(this.#directory, `as-it-was-${String(this.#moments.length + 1)}.img`)
        await this.#tool('cp', [
          '--sparse=always',
          '--reflink=auto',
          this.#shown(disk.image.path),
          this.#shown(copyPath),
        ])
        this.#moments.push({ name: kind, point: id, copyPath })
      },
    )
  }

  async #points(): Promise<void> {
    const narrator = this.#narrator
    narrator.chapter('What is there to restore')
    await this.#timed(
      () => this.#strata<readonly PointAnswer[]>(['points', '--set', setName]),
      (points, durationMs) => {
        for (const { point, kind, createdAt, state } of points) {
          narrator.say(`${point.slice(0, shownIdChars)}  ${kind.padEnd(12)}  ${createdAt}  ${state}`)
        }
        const listed = points.map(({ point }) => point.slice(0, shownIdChars))
        const made = this.#moments.map(({ point }) => point)
        if (listed.join() !== made.join())
          throw new Error(`strata points lists ${listed.join()}, and ${made.join()} were made`)
        narrator.result({ step: 'list the points', durationMs })
        return Promise.resolve()
      },
    )
  }

  async #restore({ name, point, copyPath }: Moment): Promise<void> {
    const narrator = this.#narrator
    narrator.chapter(`Restore of the ${name} point`)
    const target = join(this.#directory, 'restored.img')
    await this.#timed(
      () => this.#strata<RestoreAnswer>(['restore', point, '--to', this.#shown(target)]),
      async (answer, durationMs) => {
        const { requests } = answer.requests
        narrator.result({ step: `restore ${name}`, bytes: answer.writtenBytes, durationMs, requests })
        narrator.say(
          `${formatBytes(answer.writtenBytes)} written, the rest are holes, in ${formatDuration(durationMs)}.`,
        )
        await this.#tool('cmp', [this.#shown(target), this.#shown(copyPath)])
        const { size } = await stat(target)
        narrator.say(`Every byte of ${formatBytes(size)} is as it was then.`)
        await this.#tool('e2fsck', ['-fn', fileSystemOf({ path: this.#shown(target), sizeBytes: size })])
        narrator.say('The file system in it is faultless.')
      },
    )
    await rm(target)
  }

  async #verify(): Promise<void> {
    const narrator = this.#narrator
    narrator.chapter('Everything in the store, read and checked')
    await this.#timed(
      () => this.#strata<VerifyAnswer>(['verify', '--all']),
      ({ state, points, bytesChecked, requests }, durationMs) => {
        const right = state === 'intact' && points.length === this.#moments.length
        if (!right) throw new Error(`strata verify found ${String(points.length)} points and says: ${state}`)
        narrator.say(`${formatCount(points.length, 'point')} intact; ${formatBytes(bytesChecked)} of blocks checked.`)
        narrator.result({ step: 'verify all', bytes: bytesChecked, durationMs, requests: requests.requests })
        return Promise.resolve()
      },
    )
  }

  async #strata<Answer>(args: readonly string[]): Promise<Answer> {
    this.#narrator.command('npx', ['strata', ...args, '--json'])
    return await askStrata<Answer>(args, {
      directory: projectRoot,
      env: { ...process.env, ...this.#store.env, ...strataVariables(this.#store.url, this.#directory) },
      showMessages: process.stderr.isTTY,
      signal: this.#signal,
    })
  }

  async #tool(program: string, args: readonly string[]): Promise<void> {
    this.#narrator.command(program, args)
    await runTool(program, args, { directory: projectRoot, signal: this.#signal })
  }

  /** Only `work` is timed; what is done with its result is not. */
  async #timed<Result>(
    work: () => Promise<Result>,
    then: (result: Result, durationMs: number) => Promise<void>,
  ): Promise<Result> {
    this.#signal.throwIfAborted()
    const startedMs = performance.now()
    const result = await work()
    await then(result, performance.now() - startedMs)
    return result
  }

  /** As it can be typed in the project's folder. */
  #shown(path: string): string {
    return relative(projectRoot, path)
  }
}

function strataVariables(storeUrl: string, directory: string): Record<string, string> {
  return { STRATA_STORE: storeUrl, STRATA_STATE: join(directory, 'state'), STRATA_PASSPHRASE: passphrase }
}

async function requireSpace(parent: string, dataBytes: number): Promise<void> {
  const { bavail, bsize } = await statfs(parent)
  const neededBytes = dataBytes * spacePerDataByte
  if (bavail * bsize >= neededBytes) return
  throw new Error(
    `${parent} has ${formatBytes(bavail * bsize)} free and the demo needs ${formatBytes(neededBytes)}: see --size`,
  )
}

async function runDemo(options: DemoOptions, signal: AbortSignal): Promise<void> {
  const parent = join(projectRoot, 'demo-out')
  await mkdir(parent, { recursive: true })
  await requireSpace(parent, options.dataBytes)
  const directory = await mkdtemp(join(parent, 'run-'))
  try {
    const store = await openDemoStore(options.store, directory, options.dataBytes)
    try {
      const narrator = new Narrator((text) => process.stdout.write(text))
      await new Demo(narrator, directory, store, signal).run(options.dataBytes)
      process.stdout.write('\nEvery point came back byte for byte.\n')
    } finally {
      await store.stop()
    }
  } finally {
    if (options.keep) {
      process.stdout.write(`Kept: ${relative(projectRoot, directory)}\n`)
    } else {
      await rm(directory, { recursive: true, force: true })
      // Another run may have its folder there.
      await rmdir(parent).catch(() => undefined)
    }
  }
}

async function main(): Promise<number> {
  const options = parseDemoOptions(process.argv.slice(2))
  if (options.help) {
    process.stdout.write(helpText)
    return 0
  }
  const interruption = new AbortController()
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.once(signal, () => {
      interruption.abort(new Error(`interrupted (${signal})`))
    })
  }
  await runDemo(options, interruption.signal)
  return 0
}

process.exitCode = await main().catch((error: unknown) => {
  process.stderr.write(`\ndemo: ${error instanceof Error ? error.message : String(error)}\n`)
  return 1
})
