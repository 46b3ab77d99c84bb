import { setTimeout as sleep } from 'node:timers/promises'
import { killOwn, type Run, type StartedRun } from '../end-to-end/place.ts'

type Environment = Readonly<Record<string, string>>

/** Told how each process has ended, unless that was wanted. `died`: by a fault inside of it. */
type OnEnd = (ended: Run, how: 'killed' | 'died' | 'by itself') => void

/** `strata serve`, started again whenever it ends, as a service manager does it. */
export class KeptServer {
  readonly #start: (faults: Environment) => StartedRun
  readonly #onEnd: OnEnd
  #run: StartedRun | undefined
  #life: Promise<void> = Promise.resolve()
  #isWanted = false
  #wasKilled = false
  #backAfterMs = pauseMs
  readonly #defects: string[] = []

  constructor(start: (faults: Environment) => StartedRun, onEnd: OnEnd) {
    this.#start = start
    this.#onEnd = onEnd
  }

  /** `faults`: for its first process; the others are well. */
  begin(faults: Environment = {}): void {
    this.#isWanted = true
    this.#life = this.#live(faults)
  }

  /** Where it answers at the moment. */
  get address(): string | undefined {
    return this.#answer?.address ?? undefined
  }

  get isReady(): boolean {
    return this.#answer !== undefined
  }

  get messages(): string {
    return this.#run?.messages ?? ''
  }

  /** What its processes that have ended had said of defects of their own. */
  get defects(): readonly string[] {
    return this.#defects
  }

  kill(backAfterMs: number): void {
    this.#backAfterMs = backAfterMs
    this.#wasKilled = true
    this.signal('SIGKILL')
  }

  signal(signal: NodeJS.Signals): void {
    const pid = this.#run?.child.pid
    if (pid !== undefined) killOwn(pid, signal)
  }

  /** Ends it for good, and tells how. */
  async end(signal: 'SIGTERM' | 'SIGKILL'): Promise<Run | undefined> {
    this.#isWanted = false
    this.signal('SIGCONT')
    this.signal(signal)
    const ended = await this.#run?.ended
    await this.#life
    return ended
  }

  async #live(faults: Environment): Promise<void> {
    for (let env = faults; this.#isWanted; env = {}) {
      this.#wasKilled = false
      this.#backAfterMs = pauseMs
      this.#run = this.#start(env)
      const ended = await this.#run.ended
      this.#defects.push(...defectsIn(ended.messages))
      await this.#over(ended, 'STRATA_FAULTS' in env)
    }
  }

  async #over(ended: Run, wasToDie: boolean): Promise<void> {
    if (!this.#isWanted) return
    this.#onEnd(ended, this.#wasKilled ? 'killed' : wasToDie && ended.signal === 'SIGKILL' ? 'died' : 'by itself')
    await sleep(this.#backAfterMs)
  }

  get #answer(): { readonly address: string | null } | undefined {
    const { output = '', child } = this.#run ?? {}
    if (!output.endsWith('\n') || child?.exitCode !== null || child.signalCode !== null) return undefined
    return JSON.parse(output) as { address: string | null }
  }
}

function defectsIn(messages: string): string[] {
  return messages.split('\n').filter((line) => line.includes('E_BUG'))
}

const pauseMs = 200
