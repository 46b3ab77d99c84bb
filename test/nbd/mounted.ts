import assert from 'node:assert/strict'
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { strataPath } from '../fixtures/strata-program.ts'
import { environmentWithSystemFolders } from '../fixtures/tool.ts'

/** What `strata mount --json` answers. */
export interface MountAnswer {
  readonly point: string
  readonly disk: string
  readonly sizeBytes: number
  readonly uri: string
  readonly export: string
}

/** A `strata mount` that runs until it is disposed of. */
export class Mounted implements AsyncDisposable {
  readonly answer: MountAnswer
  readonly #child: ChildProcess
  readonly #messages: () => string

  private constructor(child: ChildProcess, answer: MountAnswer, messages: () => string) {
    this.#child = child
    this.answer = answer
    this.#messages = messages
  }

  static async start(args: readonly string[], env: NodeJS.ProcessEnv): Promise<Mounted> {
    const child = spawn(strataPath, ['mount', ...args, '--json'], {
      env: environmentWithSystemFolders(env),
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    let output = ''
    let messages = ''
    child.stderr.on('data', (chunk: Buffer) => {
      messages += chunk.toString()
    })
    const answer = await new Promise<MountAnswer>((resolve, reject) => {
      child.stdout.on('data', (chunk: Buffer) => {
        output += chunk.toString()
        // An error is a document, too; the end comes right after it.
        if (output.endsWith('\n') && output.includes('"uri"')) resolve(JSON.parse(output) as MountAnswer)
      })
      child.once('exit', (code) => {
        reject(new Error(`strata mount ended with ${String(code)}: ${messages}${output}`))
      })
    })
    return new Mounted(child, answer, () => messages)
  }

  get messages(): string {
    return this.#messages()
  }

  /** Ends as a user ends it. */
  async stop(): Promise<void> {
    if (this.#child.exitCode !== null) return
    const ended = once(this.#child, 'exit')
    this.#child.kill('SIGINT')
    const [code] = (await ended) as [number | null]
    assert.equal(code, 0, this.messages)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop()
  }
}
