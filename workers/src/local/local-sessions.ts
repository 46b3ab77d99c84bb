import { randomBytes } from 'node:crypto'
import type { CommittedPoint, FinishRequest, OpenRequest } from '@strata/shared/protocol/uplink.ts'
import type { Gateway } from '../gateway/gateway.ts'
import type { SessionRef } from '../gateway/live-sessions.ts'
import type { LocalSession } from './service-protocol.ts'
import { createSessionHandOver, removeSessionHandOver, sessionHandOver } from './session-hand-over.ts'

/** The sessions of one machine and one tenant: agent and workers hand segments over in memory. */
export class LocalSessions {
  readonly gateway: Gateway
  readonly #handOverDirectory: string
  #finishes = 0

  constructor(gateway: Gateway, handOverDirectory: string) {
    this.gateway = gateway
    this.#handOverDirectory = handOverDirectory
  }

  async open(request: OpenRequest): Promise<LocalSession> {
    const info = await this.gateway.open(request, randomBytes(16).toString('hex'))
    try {
      return { info, spoolDirectory: await createSessionHandOver(this.#handOverDirectory, info.session) }
    } catch (error) {
      await this.gateway.abandon(info)
      throw error
    }
  }

  async send(ref: SessionRef, segment: number, segmentFile: string): Promise<void> {
    await this.gateway.handedOver(ref, segment, { segmentFile, sealed: false })
  }

  async finish(ref: SessionRef, request: FinishRequest): Promise<CommittedPoint> {
    const { sequenceAtOpen } = (await this.gateway.find(ref)).document
    await this.gateway.end(ref, sequenceAtOpen, request)
    this.#finishes += 1
    const point = await this.gateway.outcome(ref, sequenceAtOpen, this.#finishes)
    await this.#forget(ref)
    return point
  }

  /** What is plain goes first, whatever hangs then. */
  async abandon(ref: SessionRef): Promise<void> {
    await this.#forget(ref)
    await this.gateway.abandon(ref)
  }

  async #forget({ session }: SessionRef): Promise<void> {
    await removeSessionHandOver(sessionHandOver(this.#handOverDirectory, session))
  }
}
