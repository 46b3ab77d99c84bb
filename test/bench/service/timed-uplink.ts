import type {
  CommittedPoint,
  EarlierSession,
  FinishRequest,
  OpenedSession,
  OpenRequest,
  ResumedSession,
  Uplink,
} from '@strata/shared/protocol/uplink.ts'

/** An uplink that knows how long the last `finish` took: from "everything was sent" to the point being visible. */
export class TimedUplink implements Uplink {
  readonly #inner: Uplink & Required<Pick<Uplink, 'resume'>>
  readonly #onSent: () => void
  commitSeconds = 0

  constructor(inner: Uplink & Required<Pick<Uplink, 'resume'>>, onSent: () => void) {
    this.#inner = inner
    this.#onSent = onSent
  }

  async open(request: OpenRequest): Promise<OpenedSession> {
    return this.#timed(await this.#inner.open(request))
  }

  async resume(earlier: EarlierSession): Promise<ResumedSession> {
    const resumed = await this.#inner.resume(earlier)
    return resumed.state === 'open' ? { ...resumed, session: this.#timed(resumed.session) } : resumed
  }

  #timed(session: OpenedSession): OpenedSession {
    const finish = session.finish.bind(session)
    session.finish = async (end: FinishRequest): Promise<CommittedPoint> => {
      this.#onSent()
      const startedMs = performance.now()
      const point = await finish(end)
      this.commitSeconds = (performance.now() - startedMs) / 1000
      return point
    }
    return session
  }
}
