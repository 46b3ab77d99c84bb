/**
 * Notices who reads a disk from its beginning on, and says what to fetch before it is asked for. Pure.
 *
 * Several may read at the same time, each at a place of its own, and one may ask for neighbouring parts out of order (as
 * clients with many connections do). The longer somebody goes on, the further is read ahead.
 */
export interface ReadAheadOptions {
  /** In blocks. */
  readonly firstWindow: number
  readonly windowMax: number
  readonly streamsMax: number
}

/** Blocks `from` to `to`, without the last one. */
export interface BlockSpan {
  readonly from: number
  readonly to: number
}

interface Stream {
  /** Behind the last block that was asked for. */
  end: number
  /** Behind the last block that is there or is being fetched. */
  ahead: number
  window: number
}

export class ReadAhead {
  readonly #options: ReadAheadOptions
  /** Asked for longest ago first. */
  readonly #streams: Stream[] = []

  constructor(options: ReadAheadOptions) {
    this.#options = options
  }

  /** Blocks `from` to `to` were asked for. undefined: nothing is to be fetched. What it gives may lie behind the disk's end. */
  asked({ from, to }: BlockSpan): BlockSpan | undefined {
    const stream = this.#streamAt(from)
    if (stream === undefined) {
      this.#begin(to)
      return undefined
    }
    stream.end = Math.max(stream.end, to)
    const { firstWindow, windowMax } = this.#options
    const leftAhead = stream.ahead - stream.end
    // In large steps: what is fetched together costs less.
    if (stream.window > 0 && leftAhead > stream.window / 2) return undefined
    stream.window = Math.min(windowMax, Math.max(firstWindow, 2 * stream.window))
    const start = Math.max(stream.ahead, stream.end)
    stream.ahead = stream.end + stream.window
    return start < stream.ahead ? { from: start, to: stream.ahead } : undefined
  }

  /** One who was near enough; he counts as the last one. */
  #streamAt(from: number): Stream | undefined {
    const { windowMax } = this.#options
    const index = this.#streams.findLastIndex(({ end }) => from <= end + windowMax && from >= end - windowMax)
    const [stream] = index < 0 ? [] : this.#streams.splice(index, 1)
    if (stream !== undefined) this.#streams.push(stream)
    return stream
  }

  #begin(end: number): void {
    if (this.#streams.length === this.#options.streamsMax) this.#streams.shift()
    this.#streams.push({ end, ahead: end, window: 0 })
  }
}
