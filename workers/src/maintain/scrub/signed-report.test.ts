import assert from 'node:assert/strict'
import { test } from 'node:test'
import { makeTestRepository } from '@strata/shared/testing/test-repository.ts'
import { checkReport, publishedReportKey, publishReportKey, signReport } from './signed-report.ts'

function signed() {
  const { repository, store } = makeTestRepository()
  const report = {
    strata: 'verification-report',
    version: 1,
    tenant: repository.tenant,
    sets: [{ set: 'a\u0085"ü', points: 2 }],
  }
  return { repository, store, document: signReport(repository, report) }
}

test('a report is valid as it was signed, however it is spaced, and not otherwise', async () => {
  const { document } = signed()
  const key = (): string => document.publicKey
  for (const spaces of [0, 2]) await checkReport(JSON.stringify(document, undefined, spaces), key)
  const { report, publicKey, signature } = document
  const altered = [
    { report: { ...report, sets: [] }, publicKey, signature },
    { report: { ...report, more: 1 }, publicKey, signature },
    { report, publicKey, signature: signature.replace(/^../, 'ff') },
    { report, publicKey: 'ab'.repeat(32), signature },
    { report, publicKey },
    'text',
  ]
  for (const one of altered) {
    await assert.rejects(checkReport(JSON.stringify(one), key), { code: 'E_REPORT_INVALID' })
  }
  await assert.rejects(checkReport('{', key), { code: 'E_REPORT_INVALID' })
  await assert.rejects(
    checkReport(JSON.stringify(document), () => 'cd'.repeat(32)),
    { code: 'E_REPORT_INVALID' },
  )
})

test('the key is published once, and another one there is noticed', async () => {
  const { repository, store, document } = signed()
  await publishReportKey(repository, document.publicKey)
  await publishReportKey(repository, document.publicKey)
  assert.equal(await publishedReportKey(store, repository.tenant), document.publicKey)
  await assert.rejects(publishReportKey(repository, 'ab'.repeat(32)), { code: 'E_REPORT_INVALID' })
})
