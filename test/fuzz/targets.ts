import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { zstdCompressSync } from 'node:zlib'
import { boxKinds, openBox, sealBox } from '@strata/shared/format/box.ts'
import { decodeCatalog, encodeCatalog, type CatalogSegment } from '@strata/shared/format/catalog.ts'
import { decodeDocument, decodeEither, encodeDocument, parseDocument } from '@strata/shared/format/document.ts'
import { zeroDigest } from '@strata/shared/format/digest.ts'
import { manifestType, type Manifest } from '@strata/shared/format/manifest.ts'
import { decodeMapFooter, encodeMapFooter } from '@strata/shared/format/map-footer.ts'
import {
  decodeDataFooter,
  decodePackTail,
  encodeDataFooter,
  encodePackTail,
  packKinds,
  type FooterEntry,
} from '@strata/shared/format/pack.ts'
import { decodePage, encodePage, Page, pageLevels, type PageLevel } from '@strata/shared/format/page.ts'
import {
  decodeRecord,
  keyIdToBytes,
  peekKeyId,
  recordOverheadBytes,
  writeRecordHeader,
} from '@strata/shared/format/record.ts'
import { decodeRoot, encodeRoot } from '@strata/shared/format/root.ts'
import { decodeSealedTail } from '@strata/shared/format/sealed-segment.ts'
import { decodeSegmentTail, encodeSegmentTail, type SegmentEntry } from '@strata/shared/format/segment.ts'
import { sessionEndType, sessionType, type Session, type SessionEnd } from '@strata/shared/format/session.ts'
import { voidType, type Void } from '@strata/shared/format/void.ts'
import { decodeWrappedDataKey, encodeWrappedDataKey } from '@strata/shared/format/wrapped-key.ts'
import { rotateKeys, withoutWrap, withWrap } from '@strata/shared/keys/change-keys.ts'
import {
  decodeDestruction,
  decodeTombstone,
  encodeDestruction,
  encodeTombstone,
  type DestructionFacts,
} from '@strata/shared/keys/destruction-document.ts'
import type { KeyProvider } from '@strata/shared/keys/key-provider.ts'
import { wrapWithProvider, wrapWithSecret } from '@strata/shared/keys/private-key-wrap.ts'
import { decodeTenantKeys, encodeTenantKeys } from '@strata/shared/keys/tenant-document.ts'
import { createTenantKeys } from '@strata/shared/keys/tenant-keys.ts'
import { TenantPrivateKey } from '@strata/shared/keys/tenant-private-key.ts'
import { boxedExamples } from '@strata/shared/testing/boxed-examples.ts'
import { opened, sealed } from '@strata/shared/testing/sealed-segment.ts'
import { seededRandom, testIndexKeys } from '@strata/shared/testing/test-repository.ts'
import { asId, type Id, type KeyId, type SessionId, type TenantId } from '@strata/shared/types.ts'

/** Everything that reads bytes from a store, with some encodings that are right. */
export interface FuzzTarget {
  readonly name: string
  readonly examples: readonly Uint8Array[]
  /** Reads, and writes again what could be read: that must be possible, and read the same. */
  readonly read: (bytes: Uint8Array) => void
  /** Makes checksums right, so that what lies behind them is reached. */
  readonly repair?: (bytes: Uint8Array) => Uint8Array
}

const random = seededRandom('fuzz')
const session = asId<SessionId>('5'.repeat(32))
const keys = testIndexKeys()
const digest = (): Uint8Array => random(32)

function recordExamples(): Uint8Array[] {
  return [0, 1].flatMap((codec) =>
    [1, 40].map((length) => {
      const record = random(recordOverheadBytes + length)
      const keyIdBytes = keyIdToBytes(asId<KeyId>('7'.repeat(32)))
      writeRecordHeader(record, 0, { codec, plainBytes: length, keyIdBytes, nonce: random(24) })
      return record
    }),
  )
}

function examplePage(level: PageLevel, number: number, entries: number): Page {
  const page = new Page(level, number, entries)
  for (let entry = 0; entry < entries; entry += 3) {
    const pack = { session, number: entry >> 3, attempt: '0123456789abcdef' }
    page.setStored(entry, digest(), { pack, offset: entry * 100, length: 100 })
  }
  return page
}

function pageTarget(name: string, level: PageLevel): FuzzTarget {
  const number = 3
  return {
    name,
    examples: [0, 1, 30, 1024].map((entries) => encodePage(examplePage(level, number, entries))),
    read: (bytes) => {
      const page = decodePage(bytes, level, number)
      const again = decodePage(encodePage(page), level, number)
      assert.deepEqual(again.digests, page.digests)
      for (let entry = 0; entry < page.entryCount; entry += 1) assert.deepEqual(again.place(entry), page.place(entry))
    },
  }
}

function rootExamples(): Uint8Array[] {
  const key = { keyId: asId<KeyId>('7'.repeat(32)), encapsulated: random(32), sealed: random(48) }
  const disk = (index: number) => ({
    sizeBytes: 1_000_000 + index,
    blockBytes: 65_536,
    contentRoot: digest(),
    nodes: examplePage(pageLevels.root, index, 1),
  })
  return [
    { disks: [disk(0)], keys: [] },
    { disks: [disk(0), disk(1), disk(2)], keys: [key, key] },
  ].map(encodeRoot)
}

const footerEntries: readonly FooterEntry[] = [
  { state: 'record', block: 0, digest: digest(), piece: 0, key: 0 },
  { state: 'zero', block: 1, digest: zeroDigest },
  { state: 'base', block: 7, digest: digest() },
  { state: 'record', block: 2 ** 26 - 1, digest: digest(), piece: 1, key: 0 },
]

const pieceLengths = [100, 50]
const piecesBytes = 150

function packExamples(): Uint8Array[] {
  return [packKinds.data, packKinds.map].flatMap((kind) => {
    const pieces = pieceLengths.map((length, index) => ({ offset: index * 100, length, hash: digest() }))
    const whole = encodePackTail(kind, piecesBytes, pieces, () => random(80))
    return [Buffer.concat([random(piecesBytes), whole]), encodePackTail(kind, 0, [], () => random(60))]
  })
}

/** Both ends of a pack and of a segment have 8 bytes of SHA-256 over all that lies between. */
function withChecksum(bytes: Uint8Array, from: number): Uint8Array {
  if (bytes.length < 8) return bytes
  const copy = Uint8Array.from(bytes)
  const end = copy.length - 8
  const start = Math.min(Math.max(0, from), end)
  copy.set(createHash('sha256').update(copy.subarray(start, end)).digest().subarray(0, 8), end)
  return copy
}

function readU32(bytes: Uint8Array, at: number): number {
  if (at < 0 || at + 4 > bytes.length) return 0
  return new DataView(bytes.buffer, bytes.byteOffset + at, 4).getUint32(0, true)
}

/** Writes its own length into the trailer as well. */
function repairPack(bytes: Uint8Array): Uint8Array {
  if (bytes.length < 32) return bytes
  const copy = Uint8Array.from(bytes)
  const trailerAt = copy.length - 32
  new DataView(copy.buffer).setUint32(trailerAt + 16, copy.length, true)
  return withChecksum(copy, trailerAt - readU32(copy, trailerAt + 12) - 40 * readU32(copy, trailerAt + 8))
}

function segmentExamples(): Uint8Array[] {
  const entries: SegmentEntry[] = [
    { state: 'data', block: 0, digest: digest(), offset: 0, length: 100 },
    { state: 'zero', block: 5, digest: zeroDigest },
    { state: 'base', block: 6, digest: digest() },
    { state: 'data', block: 9, digest: digest(), offset: 100, length: 50 },
  ]
  const header = { session, segment: 3, disk: 1, blockBytes: 65_536 }
  return [
    Buffer.concat([random(150), encodeSegmentTail({ ...header, entries }, 150)]),
    encodeSegmentTail({ ...header, entries: [] }, 0),
  ]
}

/** Makes the bytes of frames fit the length as well. */
function repairSegment(bytes: Uint8Array): Uint8Array {
  if (bytes.length < 56) return bytes
  const copy = Uint8Array.from(bytes)
  const trailerAt = copy.length - 56
  const entriesAt = trailerAt - 48 * readU32(copy, trailerAt + 32)
  if (entriesAt >= 0) new DataView(copy.buffer).setUint32(trailerAt + 40, entriesAt, true)
  return withChecksum(copy, entriesAt)
}

const sealedAs = { transportKey: random(32), session, segment: 3 }

/** The shortest one, and one that is longer than what it is mostly mutated to. */
function sealedSegmentExamples(): Uint8Array[] {
  return [56, 200].map((length) => sealed(random(length), sealedAs, random))
}

/** Makes the plain length fit, where there is one piece. */
function repairSealedSegment(bytes: Uint8Array): Uint8Array {
  if (bytes.length < 56 + 16) return bytes
  const copy = Uint8Array.from(bytes)
  const trailerAt = copy.length - 56
  new DataView(copy.buffer).setUint32(trailerAt + 28, trailerAt - 16, true)
  return withChecksum(copy, trailerAt)
}

const id = (digit: string): string => digit.repeat(32)
const at = '2026-01-02T03:04:05.678Z'
const machine = { hostName: 'h', system: 's', architecture: 'a' }
const disk = { name: 'd', sizeBytes: 1, blockBytes: 65_536, identity: { gpt: 'g' } }

const manifest: Manifest = {
  strata: 'manifest',
  version: 1,
  point: id('1'),
  setName: 'B\u00fcro',
  chain: id('2'),
  sequence: 7,
  kind: 'incremental',
  base: { point: id('3'), sequence: 6, manifestDigest: id('4').repeat(2) },
  full: { point: id('7'), sequence: 2, manifestDigest: id('8').repeat(2) },
  previous: id('4').repeat(2),
  createdAt: at,
  capturedAt: at,
  consistency: 'unchanged',
  machine,
  disks: [{ ...disk, contentRoot: id('5').repeat(2) }],
  root: { session: id('6'), number: 0, attempt: '0123456789abcdef', offset: 1, length: 2 },
  statistics: { scannedBytes: 1, changedBytes: 2, storedBytes: 3, segments: 4 },
  warnings: [{ code: 'W_X', message: 'm' }],
}

const given: Void = {
  strata: 'void',
  version: 1,
  session: id('1'),
  sequence: 7,
  previous: id('4').repeat(2),
  createdAt: at,
}

const sessionDocument: Session = {
  strata: 'session',
  version: 1,
  session: id('1'),
  setName: 'machine',
  kind: 'full',
  chain: id('2'),
  base: null,
  sequenceAtOpen: 0,
  disks: [disk],
  openedAt: at,
  expiresAt: at,
  warnings: [],
}

const sessionEnd: SessionEnd = {
  strata: 'session-end',
  version: 1,
  session: id('1'),
  segments: 2,
  contentRoots: ['ef'.repeat(32)],
  capturedAt: at,
  consistency: 'changing',
  machine,
  scannedBytes: 1,
  changedBytes: 0,
  warnings: [],
}

const catalogSegment: CatalogSegment = {
  strata: 'catalog',
  version: 1,
  set: id('9'),
  last: 16,
  entries: [
    { digest: id('1').repeat(2), document: manifest },
    { digest: id('2').repeat(2), document: given },
  ],
}

const text = (value: unknown): Uint8Array => Buffer.from(JSON.stringify(value), 'utf8')

async function tenantKeysExamples(): Promise<Uint8Array[]> {
  const keyFile = random(32)
  const created = await createTenantKeys({
    repositoryId: asId<Id>(id('1')),
    tenantId: asId<TenantId>(id('2')),
    tenantName: 'tenant',
    unlock: { passphrase: 'passphrase', keyFile },
    random,
  })
  const { document, ingest, privateKey } = created
  const byKeyFile = withoutWrap(document, privateKey, 'passphrase')
  const sheet = wrapWithSecret('recoverySheet', privateKey, privateKey.bytes(), random(32), random)
  const keyName = { kind: 'awsKms', name: 'alias/fuzz' } as const
  const service = await wrapWithProvider(keyName, privateKey, privateKey.bytes(), echoing, random)
  const secrets = { keyFile }
  const rotated = await rotateKeys(byKeyFile, ingest, privateKey, secrets, random)
  const documents = [document, withWrap(withWrap(document, privateKey, sheet), privateKey, service), rotated.document]
  return documents.map(encodeTenantKeys)
}

/** Gives out what it was given. */
const echoing: KeyProvider = {
  wrap: (_, key, secret) => Promise.resolve({ key, wrapped: secret }),
  unwrap: (_, { wrapped }) => Promise.resolve(wrapped),
}

const way = { kind: 'keyFile', salt: 'a'.repeat(64) } as const
const facts: DestructionFacts = {
  number: 2,
  repositoryId: id('1'),
  tenantId: id('2'),
  state: 'confirmed',
  keysRevision: 3,
  requestedAt: '2026-01-01T00:00:00.000Z',
  requestedBy: way,
  confirmedAt: '2026-01-02T00:00:00.000Z',
  confirmedBy: { ...way, kind: 'passphrase' },
  dueAt: '2026-02-01T00:00:00.000Z',
}
const owner = { repositoryId: asId<Id>(facts.repositoryId), tenantId: asId<TenantId>(facts.tenantId) }
const destruction = encodeDestruction(facts, new TenantPrivateKey(owner, random(32), random(32)))
const tombstone = encodeTombstone({
  strata: 'tenant-tombstone',
  version: 1,
  ...owner,
  requestedAt: facts.requestedAt,
  confirmedAt: facts.dueAt,
  destroyedAt: facts.dueAt,
})

export async function fuzzTargets(): Promise<FuzzTarget[]> {
  const boxed = sealBox(boxKinds.page, 'context', random(50), keys, random(24))
  const context = 'tenants/t/points/s/0000000007'
  const sealedManifest = encodeDocument(manifestType, context, manifest, keys, random(24))
  const wrappedKey = { keyId: asId<KeyId>(id('7')), encapsulated: random(32), sealed: random(48) }
  const wrapped = encodeWrappedDataKey(wrappedKey)
  return [
    {
      name: 'record',
      examples: recordExamples(),
      read: (bytes) => {
        const header = decodeRecord(bytes)
        assert.equal(peekKeyId(bytes), header.keyId)
        assert.ok(header.sealed.length <= header.plainBytes + 16)
      },
    },
    pageTarget('page', pageLevels.page),
    pageTarget('node', pageLevels.node),
    pageTarget("disk's part of a root", pageLevels.root),
    {
      name: 'root',
      examples: rootExamples(),
      read: (bytes) => {
        const root = decodeRoot(bytes)
        assert.equal(decodeRoot(encodeRoot(root)).disks.length, root.disks.length)
      },
    },
    {
      name: 'footer of a pack',
      examples: [
        encodeDataFooter({ disk: 1, segment: 2, dataKeys: [wrappedKey], entries: footerEntries }, 2),
        encodeDataFooter({ disk: 1, segment: 2, dataKeys: [wrappedKey, wrappedKey], entries: footerEntries }, 2),
      ],
      read: (bytes) => {
        assert.deepEqual(encodeDataFooter(decodeDataFooter('footer', bytes, 2), 2), bytes)
      },
    },
    {
      name: 'footer of a pack without records',
      examples: [
        encodeDataFooter({ disk: 1, segment: 2, dataKeys: [], entries: [] }, 0),
        encodeDataFooter({ disk: 1, segment: 2, dataKeys: [], entries: footerEntries.slice(1, 3) }, 0),
      ],
      read: (bytes) => {
        assert.deepEqual(encodeDataFooter(decodeDataFooter('footer', bytes, 0), 0), bytes)
      },
    },
    {
      name: 'footer of a page pack',
      examples: [
        encodeMapFooter([
          { disk: 0, level: 0, number: 9 },
          { disk: 63, level: 2, number: 0 },
        ]),
      ],
      read: (bytes) => {
        assert.deepEqual(encodeMapFooter(decodeMapFooter('footer', bytes, 2)), bytes)
      },
    },
    {
      name: 'end of a pack',
      examples: packExamples(),
      repair: repairPack,
      read: (bytes) => {
        const tail = decodePackTail('pack', bytes, bytes.length)
        assert.ok(typeof tail !== 'number', 'all bytes of the pack are there')
        for (const have of [32, Math.min(bytes.length, 100)]) {
          const needed = decodePackTail('pack', bytes.subarray(bytes.length - have), bytes.length)
          assert.ok(typeof needed !== 'number' || (needed > have && needed <= bytes.length))
        }
      },
    },
    {
      name: 'end of a segment',
      examples: segmentExamples(),
      repair: repairSegment,
      read: (bytes) => {
        const header = decodeSegmentTail('segment', bytes, bytes.length)
        assert.ok(typeof header !== 'number', 'all bytes of the segment are there')
        const tailBytes = header.entries.length * 48 + 56
        const tail = encodeSegmentTail(header, bytes.length - tailBytes)
        assert.deepEqual(tail, Uint8Array.from(bytes.subarray(bytes.length - tailBytes)))
      },
    },
    {
      name: 'end of a sealed segment',
      examples: sealedSegmentExamples(),
      repair: repairSealedSegment,
      read: (bytes) => {
        const tail = decodeSealedTail('sealed segment', bytes, bytes.length)
        assert.deepEqual([tail.salt.length, tail.tags.length], [12, 16])
        assert.equal(tail.plainBytes + 16 + 56, bytes.length)
      },
    },
    {
      name: 'sealed segment',
      examples: sealedSegmentExamples(),
      repair: repairSealedSegment,
      read: (bytes) => {
        const plain = opened(bytes, sealedAs.transportKey)
        const { session: of, segment, salt } = decodeSealedTail('sealed segment', bytes, bytes.length)
        assert.deepEqual({ session: of, segment }, { session, segment: 3 })
        assert.deepEqual(
          sealed(plain, sealedAs, () => salt),
          Uint8Array.from(bytes),
        )
      },
    },
    {
      name: 'wrapped data key',
      examples: [wrapped],
      read: (bytes) => {
        assert.deepEqual(encodeWrappedDataKey(decodeWrappedDataKey(bytes)), Uint8Array.from(bytes))
      },
    },
    { name: 'box', examples: [boxed, sealedManifest], read: (bytes) => openBox(boxKinds.page, 'context', bytes, keys) },
    {
      name: 'sealed manifest',
      examples: [sealedManifest, boxed],
      read: (bytes) => decodeDocument(manifestType, context, bytes, keys),
    },
    { name: 'manifest', examples: [text(manifest)], read: (bytes) => parseDocument(manifestType, 'manifest', bytes) },
    { name: 'void', examples: [text(given)], read: (bytes) => parseDocument(voidType, 'void', bytes) },
    {
      name: 'manifest or void, in its box',
      examples: [text(manifest), text(given)],
      read: (bytes) => {
        const box = sealBox(boxKinds.manifest, context, bytes, keys, random(24))
        assert.ok(['manifest', 'void'].includes(decodeEither(manifestType, voidType, context, box, keys).strata))
      },
    },
    {
      name: 'session',
      examples: [text(sessionDocument)],
      read: (bytes) => parseDocument(sessionType, 'session', bytes),
    },
    {
      name: 'end of a session',
      examples: [text(sessionEnd)],
      read: (bytes) => parseDocument(sessionEndType, 'end', bytes),
    },
    ...boxedExamples.map(([type, value]) => ({
      name: type.title,
      examples: [text(value)],
      read: (bytes: Uint8Array) => parseDocument(type, type.title, bytes),
    })),
    {
      name: 'segment of a catalogue',
      examples: [encodeCatalog(context, catalogSegment, keys, random(24))],
      read: (bytes) => decodeCatalog(context, bytes, keys),
    },
    {
      name: 'segment of a catalogue, in its box',
      examples: [zstdCompressSync(text(catalogSegment)), text(catalogSegment)],
      read: (bytes) => decodeCatalog(context, sealBox(boxKinds.catalog, context, bytes, keys, random(24)), keys),
    },
    {
      name: 'keys document',
      examples: await tenantKeysExamples(),
      read: (bytes) => {
        assert.deepEqual(encodeTenantKeys(decodeTenantKeys(bytes)), Uint8Array.from(bytes))
      },
    },
    { name: 'destruction', examples: [destruction], read: (bytes) => decodeDestruction(bytes, 'destruction') },
    { name: 'tombstone', examples: [tombstone], read: (bytes) => decodeTombstone(bytes, 'tombstone') },
  ]
}
