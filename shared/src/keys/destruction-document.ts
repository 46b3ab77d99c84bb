import { createHmac, timingSafeEqual } from 'node:crypto'
import * as v from 'valibot'
import { invariant, StrataError } from '../errors.ts'
import { concatBytes } from '../format/bytes.ts'
import { documentHead, idSchema, instantSchema, parseDocument } from '../format/document.ts'
import { destructionNumberMax, tenantKeysRevisionMax } from '../format/names.ts'
import { type Fitting, hexText, wholeNumber } from '../format/schema.ts'
import { idToBytes } from '../types.ts'
import { derive } from './derive.ts'
import { requireOneSpelling } from './tenant-document.ts'
import type { TenantPrivateKey } from './tenant-private-key.ts'
import { wrapKinds, type PrivateKeyWrap } from './wrap-schema.ts'

/**
 * What was asked for, agreed to or taken back about the end of a tenant's keys:
 * `tenants/<tenant>/destruction/<number>`. docs/format.md, "Destruction". Plain JSON in one spelling with a mac at its
 * end, as the keys document, since it must be there when no index key is.
 */
const waySchema = v.object({ kind: v.picklist(wrapKinds), salt: hexText(32) })

const destructionSchema = v.object({
  ...documentHead('tenant-destruction', 1),
  number: wholeNumber(1, destructionNumberMax),
  repositoryId: idSchema,
  tenantId: idSchema,
  state: v.picklist(['requested', 'confirmed', 'cancelled', 'executed']),
  /** The keys that are meant. */
  keysRevision: wholeNumber(1, tenantKeysRevisionMax),
  /** Times by the store's clock. */
  requestedAt: instantSchema,
  requestedBy: waySchema,
  confirmedAt: v.nullable(instantSchema),
  confirmedBy: v.nullable(waySchema),
  dueAt: instantSchema,
  mac: hexText(32),
})
export type DestructionDocument = Fitting<typeof destructionSchema>
export type DestructionFacts = Omit<DestructionDocument, 'strata' | 'version' | 'mac'>
const destructionType = { title: 'tenant-destruction', version: 1, schema: destructionSchema }

/** A way to open the tenant: its salt is that of one wrap and of no other. */
export type DestructionWay = DestructionDocument['requestedBy']

export function wayOf({ kind, salt }: PrivateKeyWrap): DestructionWay {
  return { kind, salt }
}

export function sameWay(a: DestructionWay, b: DestructionWay): boolean {
  return a.kind === b.kind || a.salt === b.salt
}

export function encodeDestruction(facts: DestructionFacts, privateKey: TenantPrivateKey): Uint8Array<ArrayBuffer> {
  const { number, repositoryId, tenantId, state, keysRevision } = facts
  const { requestedAt, requestedBy, confirmedAt, confirmedBy, dueAt } = facts
  const head = {
    strata: 'tenant-destruction',
    version: 1,
    number,
    repositoryId,
    tenantId,
    state,
    keysRevision,
  } as const
  const document = { ...head, requestedAt, requestedBy, confirmedAt, confirmedBy, dueAt }
  const text = JSON.stringify({ ...document, mac: macOf(document, privateKey).toString('hex') })
  const bytes = new Uint8Array(Buffer.from(text, 'utf8'))
  invariant(JSON.stringify(decodeDestruction(bytes, 'destruction')) === text, 'a document decodes to what was encoded')
  return bytes
}

/** Nothing in it is authenticated yet. */
export function decodeDestruction(bytes: Uint8Array, name: string): DestructionDocument {
  const document = parseDocument(destructionType, name, bytes)
  requireOneSpelling(name, bytes, document)
  return document
}

/** Says E_SEAL_BROKEN unless a holder of `privateKey` wrote the document as it is. */
export function requireAuthenticDestruction(document: DestructionDocument, privateKey: TenantPrivateKey): void {
  const { mac, ...authenticated } = document
  if (timingSafeEqual(Buffer.from(mac, 'hex'), macOf(authenticated, privateKey))) return
  throw new StrataError(
    'E_SEAL_BROKEN',
    `what is asked for about the keys of tenant ${document.tenantId} was written by nobody who can open them`,
    { hint: 'Find out who could write to the store. Nothing is destroyed by it.' },
  )
}

const macInfo = 'strata/v1/destruction'

function macOf(document: Omit<DestructionDocument, 'mac'>, privateKey: TenantPrivateKey): Buffer {
  const salt = concatBytes([idToBytes(document.tenantId), idToBytes(document.repositoryId)])
  return createHmac('sha256', derive(privateKey.bytes(), salt, macInfo))
    .update(JSON.stringify(document))
    .digest()
}

// ── tombstone ──────────────────────────────────────────────────────────────────────────────────────────────────────

/** Left in the place of the keys. Nobody is left who could authenticate it. */
const tombstoneSchema = v.object({
  ...documentHead('tenant-tombstone', 1),
  repositoryId: idSchema,
  tenantId: idSchema,
  requestedAt: instantSchema,
  confirmedAt: instantSchema,
  destroyedAt: instantSchema,
})
export type Tombstone = Fitting<typeof tombstoneSchema>
const tombstoneType = { title: 'tenant-tombstone', version: 1, schema: tombstoneSchema }

export function encodeTombstone(tombstone: Tombstone): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(Buffer.from(JSON.stringify(tombstone), 'utf8'))
  parseDocument(tombstoneType, 'tombstone', bytes)
  return bytes
}

export function decodeTombstone(bytes: Uint8Array, name: string): Tombstone {
  return parseDocument(tombstoneType, name, bytes)
}
