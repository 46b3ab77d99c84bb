import { StrataError } from '@strata/shared/errors.ts'
import { serverEventCharsMax } from '@strata/shared/limits.ts'

export interface ServerEvent {
  readonly event: string
  readonly data: unknown
}

/**
 * Reads server-sent events (WHATWG HTML, "Server-sent events") as far as Strata's gateway writes them: lines `event:` and
 * `data:` with JSON, comments that keep the connection alive, an empty line after each event.
 */
export async function* readEvents(body: AsyncIterable<Uint8Array>, progress: () => void): AsyncGenerator<ServerEvent> {
  let event = ''
  let data = ''
  for await (const line of linesOf(body, progress)) {
    if (line === '') {
      if (event !== '') yield { event, data: parsed(data) }
      event = ''
      data = ''
    } else if (line.startsWith('event: ')) {
      event = line.slice('event: '.length)
    } else if (line.startsWith('data: ')) {
      data += line.slice('data: '.length)
    }
  }
}

async function* linesOf(body: AsyncIterable<Uint8Array>, progress: () => void): AsyncGenerator<string> {
  const decoder = new TextDecoder()
  let rest = ''
  for await (const chunk of body) {
    progress()
    rest += decoder.decode(chunk, { stream: true })
    const lines = rest.split('\n')
    rest = lines.pop() ?? ''
    if (rest.length > serverEventCharsMax) throw new StrataError('E_SERVICE_ANSWER', 'an event without an end')
    yield* lines
  }
}

function parsed(data: string): unknown {
  try {
    return JSON.parse(data)
  } catch (error) {
    throw new StrataError('E_SERVICE_ANSWER', 'an event is no JSON', { cause: error })
  }
}
