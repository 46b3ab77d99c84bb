import * as v from 'valibot'
import { sign, verify } from 'node:crypto'
import { hasCode, StrataError } from '@strata/shared/errors.ts'
import { documentHead, idSchema, parseDocument } from '@strata/shared/format/document.ts'
import { reportKeyName } from '@strata/shared/format/names.ts'
import { hexText, misfit } from '@strata/shared/format/schema.ts'
import { repositoryDocumentBytesMax } from '@strata/shared/limits.ts'
import { endpointKeyFrom, publicKeyFrom, publicKeyOf } from '@strata/shared/protocol/endpoint-key.ts'
import type { Repository } from '@strata/shared/repository/repository.ts'
import type { ObjectStore } from '@strata/shared/store/object-store.ts'
import { asId, type TenantId } from '@strata/shared/types.ts'

/**
 * A report with a signature under a key that follows from the tenant's index key: so it was made by somebody who holds that,
 * and is as it was made. Whether what it says is true, no signature shows. docs/decisions/0024-verification.md.
 */
export interface SignedReport<Report> {
  readonly report: Report
  /** Ed25519. */
  readonly publicKey: string
  readonly signature: string
}

const signedSchema = v.object({
  report: v.looseObject({ ...documentHead('verification-report', 1), tenant: idSchema }),
  publicKey: hexText(32),
  signature: hexText(64),
})
type AnyReport = v.InferOutput<typeof signedSchema>['report']

/** Over the report as JSON without white space, with its members in the order in which they stand. */
function signedBytes(report: object): Buffer {
  return Buffer.from(`strata/v1/report\n${JSON.stringify(report)}`, 'utf8')
}

export function signReport<Report extends object>(repository: Repository, report: Report): SignedReport<Report> {
  const key = endpointKeyFrom(repository.reportKeySeed())
  const signature = sign(null, signedBytes(report), key).toString('hex')
  return { report, publicKey: publicKeyOf(key), signature }
}

/**
 * The report in a text, if it is as it was signed, and with this key: E_REPORT_INVALID.
 * @param expectedKey finds the key that reports of a tenant are signed with
 */
export async function checkReport(
  text: string,
  expectedKey: (tenant: TenantId) => Promise<string> | string,
): Promise<SignedReport<AnyReport>> {
  const signed = parsed(text)
  const { report, publicKey, signature } = signed
  const expected = await expectedKey(asId<TenantId>(report.tenant))
  if (publicKey !== expected) {
    throw new StrataError('E_REPORT_INVALID', `it is signed with key ${publicKey}, and the tenant's is ${expected}`)
  }
  if (!verify(null, signedBytes(report), publicKeyFrom(publicKey), Buffer.from(signature, 'hex'))) {
    throw new StrataError('E_REPORT_INVALID', 'it is not as it was signed')
  }
  return signed
}

function parsed(text: string): SignedReport<AnyReport> {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (error) {
    throw new StrataError('E_REPORT_INVALID', 'it is no JSON', { cause: error })
  }
  const problem = misfit(signedSchema, value)
  if (problem !== undefined) throw new StrataError('E_REPORT_INVALID', `it is no signed report: ${problem}`)
  return value as SignedReport<AnyReport>
}

// ── the published half ─────────────────────────────────────────────────────────────────────────────────────────────

const reportKeySchema = v.object({ ...documentHead('report-key', 1), tenant: idSchema, publicKey: hexText(32) })
const reportKeyType = { title: 'report-key', version: 1, schema: reportKeySchema } as const

/** Puts the public key where everybody who reads the store finds it. Another one there: E_REPORT_INVALID. */
export async function publishReportKey({ store, tenant }: Repository, publicKey: string): Promise<void> {
  const document = { strata: 'report-key', version: 1, tenant, publicKey }
  try {
    await store.put(reportKeyName(tenant), [Buffer.from(JSON.stringify(document), 'utf8')], { ifAbsent: true })
  } catch (error) {
    if (!hasCode(error, 'E_OBJECT_EXISTS')) throw error
    const published = await publishedReportKey(store, tenant)
    if (published === publicKey) return
    throw new StrataError(
      'E_REPORT_INVALID',
      `the store has ${published} as the key of the tenant's reports, and not ${publicKey}`,
    )
  }
}

export async function publishedReportKey(store: ObjectStore, tenant: TenantId): Promise<string> {
  const name = reportKeyName(tenant)
  const bytes = await store.get(name, { bytesMax: repositoryDocumentBytesMax })
  return parseDocument(reportKeyType, name, bytes).publicKey
}
