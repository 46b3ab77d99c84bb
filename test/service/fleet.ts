import assert from 'node:assert/strict'
import { glob, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { digestBytes } from '@strata/shared/format/digest.ts'
import { pageEntriesMax } from '@strata/shared/limits.ts'
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
  readonly #servers: ServerProcess[] = []

  constructor(place: Place) {
    this.place = place
  }

  /** Starts `strata serve`; resolves when it serves. */
  async serve(args: readonly string[] = [], options: RunOptions = {}): Promise<ServerProcess> {
    const run = this.place.start(['--json', 'serve', '--listen', '127.0.0.1:0', ...args], options)
    const server = await ServerProcess.started(run)
    this.#servers.push(server)
    return server
  }

  /** A machine of its own, which has enrolled with a token for one use. */
  async machine(name: string, server: ServerProcess, more: readonly string[] = []): Promise<Machine> {
    const { token } = await this.#answer<{ token: string }>(['token', 'create'])
    const machine = new Machine(this.place, name)
    await machine.answer(['agent', 'enroll', '--service', server.address, '--token', token, '--name', name, ...more])
    return machine
  }

  /** Ends all servers in order, and waits for them. */
  async stop(): Promise<void> {
    await Promise.all(this.#servers.map((server) => server.stop()))
  }

  async #answer<Answer>(args: readonly string[]): Promise<Answer> {
    const run = await this.place.run(['--json', ...args])
    assert.equal(run.exitCode, 0, describeRun(run))
    return JSON.parse(run.output) as Answer
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

  async stop(): Promise<void> {
    this.kill('SIGTERM')
    const ended = await this.run.ended
    assertHarmless(ended)
  }
}

/** As agent/src/resume/sent-blocks.ts has it. */
const sentPageBytes = pageEntriesMax * (1 + digestBytes)
const acknowledgedState = 2

/** An endpoint: a state directory and an identity of its own; of the service it has an address, and nothing else. */
export class Machine {
  readonly place: Place
  readonly name: string
  readonly env: Readonly<Record<string, string | undefined>>

  constructor(place: Place, name: string) {
    this.place = place
    this.name = name
    this.env = {
      STRATA_STATE: place.file(`machine-${name}`),
      STRATA_MACHINE_ID: name,
      // What is the operator's is not the endpoint's.
      STRATA_STORE: undefined,
      STRATA_KEYRING: undefined,
      STRATA_KEY_FILE: undefined,
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
    return await this.answer<BackupAnswer>(['agent', 'run', `disk=${source}`, ...more])
  }

  /** Segments of the session under way that this machine knows to be acknowledged. */
  async acknowledged(): Promise<number> {
    const runs = this.place.file(`machine-${this.name}/runs`)
    const paths = await Array.fromAsync(glob('*/segments', { cwd: runs }))
    const texts = await Promise.all(paths.map(async (path) => await readFile(join(runs, path), 'utf8')))
    return texts.join('').match(/^a /gm)?.length ?? 0
  }

  /** Blocks of the disk `disk` that this machine knows to be acknowledged. */
  async acknowledgedBlocks(): Promise<number> {
    const runs = this.place.file(`machine-${this.name}/runs`)
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
    const path = this.place.file(`machine-${this.name}/identity.json`)
    return JSON.parse(await readFile(path, 'utf8')) as Record<string, string>
  }
}
