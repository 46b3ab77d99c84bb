/** The two ends of a channel between the benchmark and a process that it has forked: one question, one answer. */
export interface Question {
  readonly name: string
  readonly body: unknown
}

export type Answer = { readonly value: unknown } | { readonly error: string }

export type Answering = Readonly<Record<string, (body: never) => Promise<unknown>>>

/** In the forked process. It ends with its parent, which then has no use for it. */
export function answerParent(handlers: Answering): void {
  process.on('message', (question: Question) => {
    void answerTo(handlers, question).then((answer) => process.send?.(answer))
  })
  process.once('disconnect', () => process.exit(1))
  process.send?.({ value: 'ready' } satisfies Answer)
}

async function answerTo(handlers: Answering, { name, body }: Question): Promise<Answer> {
  try {
    const handler = handlers[name]
    if (handler === undefined) throw new Error(`no answer to '${name}'`)
    return { value: await handler(body as never) }
  } catch (error) {
    return { error: error instanceof Error ? error.message : String(error) }
  }
}

/** What a process has taken so far, in all of its threads. */
export interface ProcessCost {
  readonly cpuSeconds: number
  readonly residentBytes: number
}

export function ownCost(): ProcessCost {
  const { user, system } = process.cpuUsage()
  return { cpuSeconds: (user + system) / 1e6, residentBytes: process.memoryUsage.rss() }
}
