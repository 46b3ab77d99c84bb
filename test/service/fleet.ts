import assert from 'node:assert/strict'
import { mkdirSync } from 'node:fs'
import { glob, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { digestBytes } from '@strata/shared/format/digest.ts'
import { pageEntriesMax, serviceCloseMsMax } from '@strata/shared/limits.ts'
import type { BackupAnswer } from '../fixtures/strata-program.ts'
import {
  assertHarmless,
  describeRun,
  until,
  type Place,
  type Run,
  type RunOptions,
  type StartedRun,
} from '../end-to-end/place.ts'

/** Processes of a service and the machines of its endpoints, as real programs on one host. */
export class Fleet {
  readonly place: Place
  readonly #operator: Operator
  readonly #servers: ServerProcess[] = []

  constructor(place: Place) {
    this.place = place
    this.#operator = new Operator(place)
  }

  /** Starts `strata serve`; resolves when it serves. */
  async serve(args: readonly string[] = [], options: RunOptions = {}): Promise<ServerProcess> {
    const run = this.place.start(['--json', 'serve', '--listen', '127.0.0.1:0', ...args], options)
    const server = await ServerProcess.started(run)
    this.#servers.push(server)
    return server
  }

  /** A machine of its own, which has enrolled with a token for one use. */
  async machine(name: string, server: Addressed, options: MachineOptions = {}): Promise<Machine> {
    const { operator = this.#operator, id = name, enroll = [] } = options
    const machine = new Machine(this.place, name, id)
    const args = ['--service', server.address, '--token', await operator.newToken(), '--name', name]
    await machine.answer(['agent', 'enroll', ...args, ...enroll])
    return machine
  }

  /** Ends all servers in order, and waits for them. */
  async stop(): Promise<void> {
    await Promise.all(this.#servers.map((server) => server.stop()))
  }
}

/** Where agents find a service. */
export interface Addressed {
  readonly address: string
}

export interface MachineOptions {
  /** Of the tenant that it becomes an endpoint of. */
  readonly operator?: Operator
  /** What tells it from others of the same name. */
  readonly id?: string
  /** More arguments for `agent enroll`. */
  readonly enroll?: readonly string[]
}

/** Whoever works next to the bucket with the keyring of a tenant, and with its key. */
export class Operator {
  readonly place: Place
  readonly env: RunOptions['env']

  /** @param env what opens the tenant, where that is not what the place's environment names */
  constructor(place: Place, env: RunOptions['env'] = {}) {
    this.place = place
    this.env = env
  }

  run(...args: readonly string[]): Promise<Run> {
    return this.place.run(['--json', ...args], { env: this.env ?? {} })
  }

  async answers<Answer>(...args: readonly string[]): Promise<Answer> {
    const run = await this.run(...args)
    assert.equal(run.exitCode, 0, describeRun(run))
    assertHarmless(run)
    return JSON.parse(run.output) as Answer
  }

  /** The line of an enrolment token for one machine. */
  async newToken(): Promise<string> {
    const { token } = await this.answers<{ token: string }>('token', 'create')
    return token
  }
}

export class ServerProcess {
  readonly run: StartedRun
  /** Of the gateway; empty where the process is none. */
  readonly address: string

  static async started(run: StartedRun): Promise<ServerProcess> {
    let ended: Run | undefined
    void run.ended.then((result) => (ended = result))
    const said = await until(() => {
      assert.ok(ended === undefined, ended === undefined ? '' : describeRun(ended))
      return Promise.resolve(run.output.endsWith('\n') ? run.output : undefined)
    })
    const { address } = JSON.parse(said) as { address: string | null }
    return new ServerProcess(run, address ?? '')
  }

  private constructor(run: StartedRun, address: string) {
    this.run = run
    this.address = address
  }

  kill(signal: NodeJS.Signals): void {
    this.run.child.kill(signal)
  }

  /** Ends it as a service manager does. */
  async stop(): Promise<void> {
    const askedMs = performance.now()
    this.kill('SIGTERM')
    const ended = await this.run.ended
    assert.equal(ended.exitCode, 0, describeRun(ended))
    assert.ok(performance.now() - askedMs < stopMsMax, `it took too long to end: ${describeRun(ended)}`)
    assertHarmless(ended)
  }
}

/** Nothing hangs here; whatever would is waited for up to `serviceCloseMsMax`. */
const stopMsMax = serviceCloseMsMax

/** As agent/src/resume/sent-blocks.ts has it. */
const sentPageBytes = pageEntriesMax * (1 + digestBytes)
const acknowledgedState = 2

/** An endpoint: a state directory and an identity of its own; of the service it has an address, and nothing else. */
export class Machine {
  readonly place: Place
  readonly name: string
  readonly env: Readonly<Record<string, string | undefined>>
  /** Its state directory. */
  readonly state: string
  /** Where its segments are put together, plain. */
  readonly spool: string

  constructor(place: Place, name: string, id = name) {
    this.place = place
    this.name = name
    this.state = place.file(`machine-${id}`)
    this.spool = place.file(`spool-${id}`)
    mkdirSync(this.spool, { recursive: true })
    this.env = {
      STRATA_STATE: this.state,
      STRATA_HANDOVER_DIR: this.spool,
      STRATA_MACHINE_ID: id,
      // What is the operator's is not the endpoint's.
      STRATA_STORE: undefined,
      STRATA_KEYRING: undefined,
      STRATA_KEY_FILE: undefined,
      STRATA_PASSPHRASE: undefined,
      STRATA_REDIS_URL: undefined,
      STRATA_STAGING: undefined,
      AWS_ACCESS_KEY_ID: undefined,
      AWS_SECRET_ACCESS_KEY: undefined,
      AZURE_STORAGE_KEY: undefined,
      AZURE_STORAGE_ACCOUNT: undefined,
      AZURE_STORAGE_CONNECTION_STRING: undefined,
    }
  }

  start(args: readonly string[], env: Readonly<Record<string, string>> = {}): StartedRun {
    return this.place.start(['--json', ...args], { env: { ...this.env, ...env } })
  }

  async answer<Answer>(args: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<Answer> {
    const run = await this.start(args, env).ended
    assert.equal(run.exitCode, 0, describeRun(run))
    assertHarmless(run)
    return JSON.parse(run.output) as Answer
  }

  async backUp(source: string, ...more: readonly string[]): Promise<BackupAnswer> {
    return await this.backUpAll([`disk=${source}`], ...more)
  }

  /** @param sources NAME=PATH each */
  async backUpAll(sources: readonly string[], ...more: readonly string[]): Promise<BackupAnswer> {
    return await this.answer<BackupAnswer>(['agent', 'run', ...sources, ...more])
  }

  /** Segments of the session under way that this machine knows to be acknowledged. */
  async acknowledged(): Promise<number> {
    const runs = join(this.state, 'runs')
    const paths = await Array.fromAsync(glob('*/segments', { cwd: runs }))
    const texts = await Promise.all(paths.map(async (path) => await readFile(join(runs, path), 'utf8')))
    return texts.join('').match(/^a /gm)?.length ?? 0
  }

  /** Blocks of the disk `disk` that this machine knows to be acknowledged. */
  async acknowledgedBlocks(): Promise<number> {
    const runs = join(this.state, 'runs')
    let count = 0
    for await (const path of glob('*/disk.sent', { cwd: runs })) {
      const bytes = await readFile(join(runs, path))
      for (let page = 0; page < bytes.length; page += sentPageBytes) {
        count += bytes.subarray(page, page + pageEntriesMax).filter((state) => state === acknowledgedState).length
      }
    }
    return count
  }

  async identity(): Promise<Record<string, string>> {
    return JSON.parse(await readFile(join(this.state, 'identity.json'), 'utf8')) as Record<string, string>
  }
}
