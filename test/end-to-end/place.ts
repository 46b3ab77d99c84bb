import assert from 'node:assert/strict'
import { spawn, type ChildProcess } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { existsSync } from 'node:fs'
import { mkdir, open, readdir, readFile, readlink, rm, stat, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { pathToFileURL } from 'node:url'
import { errorCatalogue, type ErrorCode, type ErrorDocument } from '@strata/shared/errors.ts'
import { strataPath, type BackupAnswer, type PointAnswer } from '../fixtures/strata-program.ts'
import { temporaryDirectory, type TemporaryDirectory } from '../fixtures/temporary.ts'
import { environmentWithSystemFolders, runTool } from '../fixtures/tool.ts'

export const KiB = 1024
export const MiB = 1024 * KiB
export const dayMs = 24 * 3600_000

export interface Run {
  /** Null when a signal ended it. */
  readonly exitCode: number | null
  readonly signal: NodeJS.Signals | null
  readonly output: string
  readonly messages: string
}

export interface RunOptions {
  /** Over the place's own; undefined takes a variable away. */
  readonly env?: Readonly<Record<string, string | undefined>>
  /** Other rights for it: runs it by way of this program and these arguments. */
  readonly through?: readonly string[]
  /** Starts it as a shell does, by its first line: on an old Node it then is two processes, which takes longer. */
  readonly asShellDoes?: boolean
  /** A process group of its own, as a shell gives to what it starts. */
  readonly ownGroup?: boolean
}

export interface RefusalOptions extends RunOptions {
  readonly exitCode?: number
  /** The run could not clean up behind itself: its packs may stay in the store, never a point. */
  readonly mayLeavePacks?: boolean
}

const markName = 'STRATA_TEST_PLACE'

/**
 * A repository with everything that the program needs around it, in one directory. Temporary files and segments have
 * folders of their own here, and every process carries a mark in its environment: so what a run leaves behind shows.
 */
export class Place implements AsyncDisposable {
  readonly directory: TemporaryDirectory
  readonly env: NodeJS.ProcessEnv
  /** All that were started here, with what they have said. */
  readonly runs: StartedRun[] = []
  readonly #mark = randomUUID()

  private constructor(directory: TemporaryDirectory, env: Readonly<Record<string, string>>) {
    this.directory = directory
    const inherited = Object.entries(process.env).filter(([name]) => !name.startsWith('STRATA_'))
    this.env = environmentWithSystemFolders({
      ...Object.fromEntries(inherited),
      STRATA_STORE: this.storeUrl,
      STRATA_STATE: this.file('state'),
      STRATA_KEY_FILE: this.file('key'),
      STRATA_HANDOVER_DIR: this.file('hand-over'),
      TMPDIR: this.file('tmp'),
      ...env,
      [markName]: this.#mark,
    })
  }

  /** Without a repository yet. @param env over what every run here has in its environment */
  static async empty(env: Readonly<Record<string, string>> = {}): Promise<Place> {
    const place = new Place(await temporaryDirectory(), env)
    await mkdir(place.file('tmp'))
    await mkdir(place.file('hand-over'))
    return place
  }

  /** With one, and with the disk `disk.img` backed up once as the set `good`. */
  static async withPoint(): Promise<Place> {
    const place = await Place.empty()
    await place.answers('init')
    await makeDisk(place.file('disk.img'), 1)
    await place.backUpGood()
    return place
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const pid of await this.processes()) killOwn(pid, 'SIGKILL')
    await this.directory[Symbol.asyncDispose]()
  }

  get storeUrl(): string {
    return pathToFileURL(this.file('store')).href
  }

  file(name: string): string {
    return this.directory.file(name)
  }

  start(args: readonly string[], options: RunOptions = {}): StartedRun {
    const node = options.asShellDoes === true ? [] : [process.execPath]
    const [program, ...before] = [...(options.through ?? []), ...node, strataPath]
    const child = spawn(program, [...before, ...args], {
      cwd: this.directory.path,
      env: { ...this.env, ...options.env },
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: options.ownGroup === true,
    })
    const run = new StartedRun(child, args)
    this.runs.push(run)
    return run
  }

  run(args: readonly string[], options: RunOptions = {}): Promise<Run> {
    return this.start(args, options).ended
  }

  /** What a run with --json that succeeds answers. */
  async answers<Answer>(...args: readonly string[]): Promise<Answer> {
    return await this.answersWith<Answer>({}, ...args)
  }

  async answersWith<Answer>(options: RunOptions, ...args: readonly string[]): Promise<Answer> {
    const run = await this.run(['--json', ...args], options)
    assert.equal(run.exitCode, 0, describeRun(run))
    assertHarmless(run)
    await this.assertNothingLeft()
    return JSON.parse(run.output) as Answer
  }

  /** The error of a run that must be refused, after a look at everything that it must not have done. */
  async refuses(code: ErrorCode, args: readonly string[], options: RefusalOptions = {}): Promise<ErrorDocument> {
    const stored = async (): Promise<string[]> => {
      const files = await this.storedFiles()
      return options.mayLeavePacks === true ? files.filter((file) => !/\/(chains|sessions)\//.test(file)) : files
    }
    const before = await stored()
    const run = await this.run(['--json', ...args], options)
    const error = assertRefusal(run, code, options.exitCode)
    assert.deepEqual(await stored(), before)
    await this.assertNothingLeft()
    return error
  }

  backUp(source: string, set: string, ...more: readonly string[]): Promise<BackupAnswer> {
    return this.answers<BackupAnswer>('backup', source, '--set', set, ...more)
  }

  backUpGood(...more: readonly string[]): Promise<BackupAnswer> {
    return this.backUp(this.file('disk.img'), 'good', ...more)
  }

  /** After bad input: the next good backup continues its chain, and what was there before restores to the byte. */
  async assertStillGood(): Promise<void> {
    const { kind, point } = await this.backUpGood()
    assert.equal(kind, 'incremental')
    await this.assertRestores(point, this.file('disk.img'))
  }

  /** `reference` restores to what the file `expected` holds. */
  async assertRestores(reference: string, expected: string): Promise<void> {
    const target = this.file('restored.img')
    await this.answers('restore', reference, '--to', target)
    assert.ok((await readFile(target)).equals(await readFile(expected)), `${reference} is not ${expected}`)
    await rm(target)
  }

  async points(set?: string): Promise<PointAnswer[]> {
    return await this.answers<PointAnswer[]>('points', ...(set === undefined ? [] : ['--set', set]))
  }

  #changes = 0

  /** Other bytes in the middle of the good disk, so that there is something to send. */
  async changeDisk(): Promise<void> {
    this.#changes += 1
    await writeAt(this.file('disk.img'), 3 * MiB, Buffer.alloc(MiB, `change ${String(this.#changes)} `))
  }

  manifests(): Promise<string[]> {
    return this.objects(/\/points\//)
  }

  /** Every file of the store, with its size; but for what was asked of it, which every run writes down. */
  async storedFiles(): Promise<string[]> {
    return (await filesBelow(this.file('store'))).filter((file) => !file.includes('/usage/'))
  }

  /** The objects of the store whose names match, in order. */
  async objects(pattern: RegExp): Promise<string[]> {
    const names = (await this.storedFiles()).map((file) => file.slice(0, file.lastIndexOf(' ')))
    return names.filter((name) => pattern.test(name))
  }

  /** The one object whose name matches. */
  async object(pattern: RegExp): Promise<string> {
    const [name, another] = await this.objects(pattern)
    assert.ok(name !== undefined && another === undefined, `exactly one object is ${String(pattern)}`)
    return name
  }

  stored(name: string): string {
    return join(this.file('store'), name)
  }

  /** Processes that nobody waits for may take a moment to end. */
  async untilNoProcess(): Promise<void> {
    await until(async () => ((await this.processes()).length === 0 ? true : undefined))
  }

  /** No process of a run is there any more, no segment, no private Redis. */
  async assertNothingLeft(run?: Run): Promise<void> {
    const said = run === undefined ? '' : `: ${describeRun(run)}`
    assert.deepEqual(await this.processes(), [], `no process is left${said}`)
    for (const folder of ['tmp', 'hand-over']) {
      const names = await readdir(this.file(folder))
      assert.deepEqual(
        names.filter((name) => name.startsWith('strata-')),
        [],
        `nothing is left in ${folder}${said}`,
      )
    }
  }

  /** Processes of runs of this place. Linux only; elsewhere none are seen. */
  async processes(): Promise<number[]> {
    if (!existsSync('/proc/self/environ')) return []
    const pids = (await readdir('/proc')).filter((name) => /^[0-9]+$/.test(name)).map(Number)
    const ours: number[] = []
    for (const pid of pids) if (await this.#isOurs(pid)) ours.push(pid)
    return ours
  }

  /** Waits for the process of a run that does this part of the work. */
  async processOf(part: 'agent' | 'service' | 'redis'): Promise<number> {
    const service = await until(() => this.#findProcess((command) => command.includes('service-process')))
    if (part === 'service') return service
    if (part === 'agent') return await parentOf(service)
    return await until(() => this.#findProcess((command) => command.includes('redis-server')))
  }

  async #findProcess(isIt: (command: string) => boolean): Promise<number | undefined> {
    for (const pid of await this.processes()) {
      const command = await readFile(`/proc/${String(pid)}/cmdline`, 'utf8').catch(ifGone(''))
      if (isIt(command)) return pid
    }
    return undefined
  }

  async #isOurs(pid: number): Promise<boolean> {
    const file = (name: string): string => `/proc/${String(pid)}/${name}`
    const environment = await readFile(file('environ'), 'latin1').catch(ifGone(''))
    // redis-server writes its title over its environment; the title names its socket.
    const command = await readFile(file('cmdline'), 'utf8').catch(ifGone(''))
    if (!environment.split('\0').includes(`${markName}=${this.#mark}`) && !command.includes(this.file('tmp/')))
      return false
    // One that has ended and waits for its parent to ask how.
    const executable = await readlink(file('exe')).catch(ifGone(''))
    return executable !== ''
  }
}

/** A process may end between two looks at it, and those of others are not for us to see. */
function ifGone(instead: string): (error: unknown) => string {
  return (error) => {
    const { code } = error as NodeJS.ErrnoException
    if (['ENOENT', 'ESRCH', 'EACCES', 'EPERM'].includes(code ?? '')) return instead
    throw error
  }
}

async function parentOf(pid: number): Promise<number> {
  const status = await readFile(`/proc/${String(pid)}/status`, 'utf8')
  return Number(/^PPid:\s*([0-9]+)$/m.exec(status)?.[1])
}

/** Ends a process that one of our runs has started. */
export function killOwn(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal)
  } catch (error) {
    // It was quicker.
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
  }
}

/** A run that is under way. */
export class StartedRun {
  readonly child: ChildProcess
  readonly args: readonly string[]
  readonly ended: Promise<Run>
  #output = ''
  #messages = ''

  constructor(child: ChildProcess, args: readonly string[]) {
    this.child = child
    this.args = args
    child.stdout?.setEncoding('utf8').on('data', (text: string) => (this.#output += text))
    child.stderr?.setEncoding('utf8').on('data', (text: string) => (this.#messages += text))
    this.ended = new Promise((resolve, reject) => {
      child.once('error', reject)
      child.once('close', (exitCode, signal) => {
        resolve({ exitCode, signal, output: this.#output, messages: this.#messages })
      })
    })
  }

  /** What it has written to standard error so far. */
  get messages(): string {
    return this.#messages
  }

  /** What it has written to standard output so far. */
  get output(): string {
    return this.#output
  }

  /** To the whole group, as a terminal's Ctrl-C or a service manager's stop goes. Needs `ownGroup`. */
  signalGroup(signal: NodeJS.Signals): void {
    assert.ok(this.child.pid !== undefined)
    process.kill(-this.child.pid, signal)
  }
}

/** For `through`: root without the privilege to pass over the rights of files. Others have none to give up. */
export function withoutPrivileges(): readonly string[] {
  return process.getuid?.() === 0 ? ['setpriv', '--bounding-set=-dac_override,-dac_read_search', '--'] : []
}

const patienceMs = 60_000
const pollMs = 20

/** Waits until `look` finds something. */
export async function until<Found>(look: () => Promise<Found | undefined>): Promise<Found> {
  const deadlineMs = performance.now() + patienceMs
  for (;;) {
    const found = await look()
    if (found !== undefined) return found
    assert.ok(performance.now() < deadlineMs, 'what is waited for did not come')
    await sleep(pollMs)
  }
}

/**
 * Holds runs at the moment when a file of the store is about to get its name, see preload/hold-files.mjs. One holder
 * serves one run, or several at once.
 */
export class Hold {
  readonly env: Readonly<Record<string, string>>
  readonly #directory: string

  private constructor(directory: string, pattern: RegExp, afterwards: boolean) {
    this.#directory = directory
    this.env = {
      NODE_OPTIONS: `--import=${preload('hold-files.mjs')}`,
      STRATA_TEST_HOLD_AT: pattern.source,
      STRATA_TEST_HOLD_IN: directory,
      ...(afterwards ? { STRATA_TEST_HOLD_AFTERWARDS: '' } : {}),
    }
  }

  static at(place: Place, pattern: RegExp): Promise<Hold> {
    return Hold.#in(place, pattern, false)
  }

  /** When a file that is created but once has just got its name, and nobody knows yet. */
  static after(place: Place, pattern: RegExp): Promise<Hold> {
    return Hold.#in(place, pattern, true)
  }

  static async #in(place: Place, pattern: RegExp, afterwards: boolean): Promise<Hold> {
    const directory = place.file(`hold-${randomUUID()}`)
    await mkdir(directory)
    return new Hold(directory, pattern, afterwards)
  }

  /** Resolves when `count` processes are held; throws when `run` ends before. */
  async reached(run: StartedRun, count = 1): Promise<void> {
    let ended: Run | undefined
    void run.ended.then((result) => (ended = result))
    await until(async () => {
      const names = await readdir(this.#directory)
      const pids = new Set(names.filter((name) => name.startsWith('held-')).map((name) => name.split('-')[1]))
      if (pids.size >= count) return true
      assert.ok(ended === undefined, ended === undefined ? '' : describeRun(ended))
      return undefined
    })
  }

  async release(): Promise<void> {
    await writeFile(join(this.#directory, 'go'), '')
  }
}

/** An environment in which limits have other values, see preload/limits.mjs; `env` may bring a preload of its own. */
export function withLimits(
  limits: Readonly<Record<string, number>>,
  env: Readonly<Record<string, string>> = {},
): Readonly<Record<string, string>> {
  const options = `${env['NODE_OPTIONS'] ?? ''} --import=${preload('limits.mjs')}`
  return { ...env, NODE_OPTIONS: options, STRATA_TEST_LIMITS: JSON.stringify(limits) }
}

export function preload(name: string): string {
  return pathToFileURL(join(import.meta.dirname, 'preload', name)).href
}

/** A run that says no as it should: code, hint, exit code, and nothing on its streams but that. */
export function assertRefusal(run: Run, code: ErrorCode, exitCode = 1): ErrorDocument {
  const said = describeRun(run)
  assert.equal(run.exitCode, exitCode, said)
  const { error } = JSON.parse(run.output) as { error: ErrorDocument }
  assert.equal(error.code, code, said)
  assert.equal(error.kind, errorCatalogue[code].kind)
  assert.ok(error.message.length > 0 && error.hint.length > 0, said)
  assert.ok(run.messages.includes(`strata: ${code}: `), said)
  assertHarmless(run)
  return error
}

/** Nothing that a person should not see: no stack traces, no warnings of Node's, nothing that steers a terminal. */
export function assertHarmless({ output, messages }: Run): void {
  assert.doesNotMatch(messages, /^\s+at .+:[0-9]+:[0-9]+\)?$/m)
  assert.doesNotMatch(messages, /\(node:[0-9]+\)/)
  assert.doesNotMatch((output + messages).replaceAll('\n', ''), /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u)
}

export function describeRun({ exitCode, signal, output, messages }: Run): string {
  return `ended with ${String(exitCode ?? signal)}\n${output}\n${messages}`
}

/** A small disk of its own: an ext4 file system with an identity, the files of `folder`, and data that differs with `seed`. */
export async function makeDisk(
  path: string,
  seed: number,
  sizeBytes = 8 * MiB,
  folder = join(import.meta.dirname, 'preload'),
): Promise<void> {
  await writeFile(path, '')
  await truncate(path, sizeBytes)
  const uuid = `00000000-0000-4000-8000-${String(seed).padStart(12, '0')}`
  await runTool('mke2fs', ['-q', '-F', '-t', 'ext4', '-U', uuid, '-d', folder, path])
}

export async function writeAt(path: string, offset: number, bytes: Uint8Array): Promise<void> {
  await using file = await open(path, 'r+')
  await file.write(bytes, 0, bytes.length, offset)
}

/** All files below a directory as `path size`, in order; none when there is no such directory. */
export async function filesBelow(directory: string): Promise<string[]> {
  const looksMax = 100
  for (let look = 1; ; look += 1) {
    try {
      return await filesAtOnce(directory)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT' || look === looksMax) throw error
      if (!existsSync(directory)) return []
      // What went away while it was looked at: another look.
    }
  }
}

async function filesAtOnce(directory: string): Promise<string[]> {
  const entries = await readdir(directory, { recursive: true, withFileTypes: true })
  const paths = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name))
  const described = paths.map(async (path) => {
    const { size } = await stat(path)
    return `${path.slice(directory.length + 1)} ${String(size)}`
  })
  return (await Promise.all(described)).sort()
}
