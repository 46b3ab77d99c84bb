import { encodeDocument } from '@strata/shared/format/document.ts'
import { ContentRootBuilder, sealedHash, zeroDigest } from '@strata/shared/format/digest.ts'
import type { Warning } from '@strata/shared/format/manifest.ts'
import { packName, sessionEndName, sessionName, type SessionPlace } from '@strata/shared/format/names.ts'
import { encodePackTail, packKinds, sealDataFooter, type FooterEntry, type Piece } from '@strata/shared/format/pack.ts'
import { diskCounts } from '@strata/shared/format/root.ts'
import { sessionEndType, sessionType, type Session, type SessionEnd } from '@strata/shared/format/session.ts'
import type { WrappedDataKey } from '@strata/shared/format/wrapped-key.ts'
import type { Point } from '@strata/shared/repository/points.ts'
import { pointId } from '@strata/shared/repository/points.ts'
import type { Repository } from '@strata/shared/repository/repository.ts'
import { testDigest, testSession, testSetName } from '@strata/shared/testing/test-map.ts'
import { asId, idBytes, type ChainId, type KeyId, type SessionId } from '@strata/shared/types.ts'
import { commitSession, type CommitResult } from '../commit/commit-session.ts'

/**
 * A session whose packs are written straight to the store, without agent, queue and threads: for tests of what becomes
 * of them. The records hold no blocks; a commit does not look into them.
 */
export const testBlockBytes = 65_536
const recordBytes = 400

export interface TestBlock {
  readonly block: number
  /** `zero`, `base` (what the base has), or any other word for the content that a record stands for. */
  readonly content: string
}

export interface TestSessionOptions {
  readonly repository: Repository
  /** Makes the session's id. */
  readonly number: number
  readonly base?: Point
  /** Of a full; left out, always the same. */
  readonly chain?: string
  /** Blocks of each disk; the last block is a short one. */
  readonly diskBlocks?: readonly number[]
  readonly sequenceAtOpen?: number
  readonly expiresAt?: string
  readonly warnings?: readonly Warning[]
}

export interface TestPack {
  readonly attempt?: string
  readonly disk?: number
  /** What the footer says, where that is to be something else than the name. */
  readonly footerSegment?: number
  /** Whose data key the records are sealed under. */
  readonly worker?: string
  /** How that key is wrapped, where one id is to stand for two keys. */
  readonly wrap?: string
}

/** The key of a worker process, sealed to nobody: a commit does not open it. */
export function testDataKey(worker: string, wrap = worker): WrappedDataKey {
  const sealed = Buffer.alloc(48, `sealed ${wrap}`)
  return { keyId: testKeyId(worker), encapsulated: testDigest(`encapsulated ${wrap}`), sealed: new Uint8Array(sealed) }
}

function testKeyId(worker: string): KeyId {
  return asId<KeyId>(Buffer.from(testDigest(`key of ${worker}`).subarray(0, idBytes)).toString('hex'))
}

export class TestSession {
  readonly id: SessionId
  readonly place: SessionPlace
  readonly document: Session
  readonly #repository: Repository

  constructor(options: TestSessionOptions) {
    const { repository, base } = options
    this.#repository = repository
    this.id = testSession(options.number)
    const chain = asId<ChainId>(base?.manifest.chain ?? options.chain ?? 'c'.repeat(32))
    this.place = { ...repository.placeOf(repository.setIdOf(testSetName)), chain, session: this.id }
    this.document = {
      strata: 'session',
      version: 1,
      session: this.id,
      setName: testSetName,
      kind: base === undefined ? 'full' : 'incremental',
      chain,
      base: base === undefined ? null : { point: pointId(base), sequence: base.sequence, manifestDigest: base.digest },
      sequenceAtOpen: options.sequenceAtOpen ?? base?.sequence ?? 0,
      disks: (options.diskBlocks ?? [10]).map((blocks, index) => ({
        name: `disk${String(index)}`,
        sizeBytes: blocks * testBlockBytes - 1,
        blockBytes: testBlockBytes,
        identity: {},
      })),
      openedAt: '2026-01-01T00:00:00.000Z',
      expiresAt: options.expiresAt ?? '2026-01-15T00:00:00.000Z',
      warnings: [...(options.warnings ?? [])],
    }
  }

  async open(): Promise<this> {
    const repository = this.#repository
    const name = sessionName(this.place, this.id)
    const bytes = encodeDocument(sessionType, name, this.document, repository.indexKeys, repository.nonce())
    await repository.store.put(name, [bytes], { ifAbsent: true })
    return this
  }

  /** Writes a pack and gives its name. */
  async pack(segment: number, blocks: readonly TestBlock[], options: TestPack = {}): Promise<string> {
    const attempt = options.attempt ?? '8000000000000000'
    const name = packName(this.place, 'data', { session: this.id, number: segment, attempt })
    const records: Uint8Array[] = []
    const pieces: Piece[] = []
    const entries = blocks.map(({ block, content }): FooterEntry => {
      if (content === 'zero') return { state: 'zero', block, digest: zeroDigest }
      if (content === 'base') return { state: 'base', block, digest: testDigest('base') }
      const record = Buffer.alloc(recordBytes, `record of ${content} in ${name}, `)
      pieces.push({ offset: records.length * record.length, length: record.length, hash: sealedHash(record) })
      records.push(record)
      return { state: 'record', block, digest: testDigest(content), piece: records.length - 1, key: 0 }
    })
    const { disk = 0, footerSegment = segment, worker = `a worker of ${this.id}`, wrap } = options
    const dataKeys = records.length === 0 ? [] : [testDataKey(worker, wrap)]
    const footer = { disk, segment: footerSegment, dataKeys, entries }
    const seal = sealDataFooter(name, footer, this.#repository.indexKeys, this.#repository.nonce())
    const recordsBytes = records.reduce((sum, record) => sum + record.length, 0)
    const tail = encodePackTail(packKinds.data, recordsBytes, pieces, seal)
    await this.#repository.store.put(name, [...records, tail], { ifAbsent: true })
    return name
  }

  /** Says that everything was sent. `disks` are the contents of each disk's blocks; what is not there is zeros. */
  async end(
    segments: number,
    disks: readonly ReadonlyMap<number, string>[],
    changes: Partial<SessionEnd> = {},
  ): Promise<void> {
    const repository = this.#repository
    const document: SessionEnd = {
      strata: 'session-end',
      version: 1,
      session: this.id,
      segments,
      contentRoots: disks.map((contents, index) => this.contentRoot(index, contents)),
      capturedAt: '2026-01-01T00:00:00.000Z',
      consistency: 'unchanged',
      machine: { hostName: 'host', system: 'system', architecture: 'architecture' },
      scannedBytes: 1000,
      changedBytes: 100,
      warnings: [],
      ...changes,
    }
    const name = sessionEndName(this.place, this.id)
    const bytes = encodeDocument(sessionEndType, name, document, repository.indexKeys, repository.nonce())
    await repository.store.put(name, [bytes])
  }

  contentRoot(disk: number, contents: ReadonlyMap<number, string>): string {
    const { sizeBytes, blockBytes } = this.document.disks[disk] ?? { sizeBytes: 1, blockBytes: testBlockBytes }
    const builder = new ContentRootBuilder(this.#repository.digestKeysOf(this.place.set).tree, {
      sizeBytes,
      blockBytes,
    })
    for (let block = 0; block < diskCounts(sizeBytes, blockBytes).blocks; block += 1) {
      const content = contents.get(block)
      builder.push(content === undefined ? zeroDigest : testDigest(content))
    }
    return builder.finish().toString('hex')
  }

  commit(repository = this.#repository): Promise<CommitResult> {
    return commitSession(repository, this.place.set, this.id)
  }
}
