import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { BlockDigester, ContentRootBuilder, zeroDigest } from '@strata/shared/format/digest.ts'
import { encodeSegmentTail, type SegmentEntry, type SegmentHeader } from '@strata/shared/format/segment.ts'
import { blockBytesMin } from '@strata/shared/limits.ts'
import { routes, type Route } from '@strata/shared/protocol/routes.ts'
import type { SessionInfo } from '@strata/shared/protocol/uplink.ts'
import { fromWireSessionInfo, type WireEndRequest, type WireSessionInfo } from '@strata/shared/protocol/wire.ts'
import { sealed } from '@strata/shared/testing/sealed-segment.ts'
import type { PlainAnswer } from './plain-http.ts'
import { machine, type Asked, type Endpoint, type SecurityBench } from './security-bench.ts'

export const blockBytes = blockBytesMin
/** The last one is shorter. */
export const blocks = 16
export const diskBytes = (blocks - 1) * blockBytes + 4096

export function openBody(
  endpoint: Endpoint,
  more: Readonly<Record<string, unknown>> = {},
): Readonly<Record<string, unknown>> {
  return {
    setName: endpoint.name,
    kind: 'auto',
    attempt: randomBytes(16).toString('hex'),
    machineFingerprint: endpoint.machineFingerprint,
    disks: [{ name: 'disk', sizeBytes: diskBytes, identity: {}, blockBytes }],
    ...more,
  }
}

/** A session of an endpoint with one small disk, made by hand: so each part of it can be wrong. */
export class SmallSession {
  readonly bench: SecurityBench
  readonly endpoint: Endpoint
  readonly info: SessionInfo
  /** What the disk holds. */
  readonly content: Buffer
  readonly #digester: BlockDigester

  static async open(
    bench: SecurityBench,
    endpoint: Endpoint,
    more: Readonly<Record<string, unknown>> = {},
  ): Promise<SmallSession> {
    const answer = await bench.ask(routes.open, { by: endpoint, body: openBody(endpoint, more) })
    assert.equal(answer.status, 201, answer.text)
    return new SmallSession(bench, endpoint, fromWireSessionInfo(JSON.parse(answer.text) as WireSessionInfo))
  }

  private constructor(bench: SecurityBench, endpoint: Endpoint, info: SessionInfo) {
    this.bench = bench
    this.endpoint = endpoint
    this.info = info
    this.content = randomBytes(diskBytes)
    this.#digester = new BlockDigester(Buffer.from(info.blockDigestKey))
  }

  get params(): { set: string; session: string } {
    return { set: this.info.set, session: this.info.session }
  }

  get after(): { after: number } {
    return { after: this.info.sequenceAtOpen }
  }

  /** As an agent asks that comes back to it. */
  get resuming(): { after: number; machineFingerprint: string } {
    return { ...this.after, machineFingerprint: this.endpoint.machineFingerprint }
  }

  /** By its endpoint, of this session. */
  async ask(route: Route, { params, ...asked }: Asked = {}, address?: string): Promise<PlainAnswer> {
    return await this.bench.ask(route, { by: this.endpoint, params: { ...this.params, ...params }, ...asked }, address)
  }

  block(number: number): Buffer {
    return this.content.subarray(number * blockBytes, (number + 1) * blockBytes)
  }

  digest(number: number): Buffer {
    return this.#digester.digest(this.block(number))
  }

  /** All blocks of the disk, one after the other. */
  entries(): SegmentEntry[] {
    return Array.from({ length: blocks }, (_, block) => ({
      state: 'data',
      block,
      digest: this.digest(block),
      offset: block * blockBytes,
      length: this.block(block).length,
    }))
  }

  header(more: Partial<SegmentHeader> = {}): SegmentHeader {
    return { session: this.info.session, segment: 0, disk: 0, blockBytes, entries: this.entries(), ...more }
  }

  plainSegment(more: Partial<SegmentHeader> = {}): Buffer {
    return Buffer.concat([this.content, encodeSegmentTail(this.header(more), this.content.length)])
  }

  /** Sealed as the session's agent does it. */
  seal(plain: Uint8Array, segment = 0): Buffer {
    const { transportKey, session } = this.info
    return Buffer.from(sealed(plain, { transportKey, session, segment }))
  }

  sealedSegment(segment = 0): Buffer {
    return this.seal(this.plainSegment({ segment }), segment)
  }

  async put(segment: number, body: Uint8Array, asked: Asked = {}): Promise<PlainAnswer> {
    return await this.ask(routes.segment, { ...asked, params: { segment: String(segment), ...asked.params }, body })
  }

  contentRoot(digests: (block: number) => Uint8Array = (block) => this.digest(block)): string {
    const root = new ContentRootBuilder(Buffer.from(this.info.treeDigestKey), { sizeBytes: diskBytes, blockBytes })
    for (let block = 0; block < blocks; block += 1) root.push(digests(block))
    return root.finish().toString('hex')
  }

  endBody(more: Partial<WireEndRequest> = {}): WireEndRequest {
    return {
      attempt: 1,
      ...this.after,
      segments: 1,
      contentRoots: [this.contentRoot()],
      capturedAt: new Date().toISOString(),
      consistency: 'unchanged',
      machine,
      scannedBytes: diskBytes,
      changedBytes: diskBytes,
      warnings: [],
      ...more,
    }
  }

  /** What becomes of it once it has ended: the last event. */
  async outcome(attempt = 1): Promise<{ event: string; data: Record<string, unknown> }> {
    const answer = await this.ask(routes.events, { query: { ...this.after, attempt } })
    assert.equal(answer.status, 200, answer.text)
    const [, event = '', data = ''] = /event: (committed|failed)\ndata: ([^\n]*)\n\n$/.exec(answer.text) ?? []
    assert.notEqual(event, '', answer.text)
    return { event, data: JSON.parse(data) as Record<string, unknown> }
  }

  /** Sends the disk as it should be sent; the point is there when this resolves. */
  async commit(): Promise<string> {
    const sent = await this.put(0, this.sealedSegment())
    assert.equal(sent.status, 204, sent.text)
    const ended = await this.ask(routes.end, { body: this.endBody() })
    assert.equal(ended.status, 202, ended.text)
    const { event, data } = await this.outcome()
    assert.equal(event, 'committed', JSON.stringify(data))
    assert.equal(data['point'], this.info.session)
    return this.info.session
  }
}

export const zeros = zeroDigest
