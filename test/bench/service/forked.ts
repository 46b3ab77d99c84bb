import { fork, type ChildProcess } from 'node:child_process'
import { constants, setPriority } from 'node:os'
import { join } from 'node:path'
import { environmentWithSystemFolders } from '../../fixtures/tool.ts'
import type { Answer, Question } from './answering.ts'

/** A process of the benchmark's own, with one question under way at most. */
export class Forked {
  readonly #program: string
  readonly #child: ChildProcess
  readonly #ended: Promise<number | null>
  #said = ''

  /** Resolves when it is ready to be asked. `options` are what it is told at its start. */
  static async start(program: string, options: unknown, env: NodeJS.ProcessEnv): Promise<Forked> {
    const child = fork(join(import.meta.dirname, program), [JSON.stringify(options)], {
      env: environmentWithSystemFolders(env),
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    })
    const forked = new Forked(program, child)
    await forked.#answer()
    return forked
  }

  private constructor(program: string, child: ChildProcess) {
    this.#program = program
    this.#child = child
    for (const stream of [child.stdout, child.stderr]) {
      stream?.setEncoding('utf8').on('data', (text: string) => (this.#said = (this.#said + text).slice(-2000)))
    }
    this.#ended = new Promise((resolve) => {
      child.once('close', resolve)
    })
  }

  async ask<Value>(name: string, body: unknown = {}): Promise<Value> {
    const answer = this.#answer()
    this.#child.send({ name, body } satisfies Question)
    return (await answer) as Value
  }

  /** From now on others go before it where processors are scarce. */
  yieldToOthers(): void {
    setPriority(this.#child.pid ?? 0, constants.priority.PRIORITY_BELOW_NORMAL)
  }

  async stop(): Promise<void> {
    this.#child.kill('SIGTERM')
    await this.#ended
  }

  async #answer(): Promise<unknown> {
    const told = Promise.withResolvers<Answer>()
    this.#child.once('message', told.resolve)
    try {
      const answer = await Promise.race([told.promise, this.#ended.then(() => this.#gone())])
      if ('error' in answer) throw new Error(`${this.#program}: ${answer.error}`)
      return answer.value
    } finally {
      this.#child.off('message', told.resolve)
    }
  }

  #gone(): Answer {
    return { error: `ended: ${this.#said.trim()}` }
  }
}
