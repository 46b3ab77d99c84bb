import assert from 'node:assert/strict'
import { test } from 'node:test'
import { bytesOf } from '../conformance/store-helpers.ts'
import { cephRgwRequirement, startCephRgw } from '../servers/ceph-rgw.ts'
import { startFaultInjector } from '../servers/fault-injector.ts'
import { describeWith } from '../servers/require-server.ts'
import { checksumOf, contentOf, grantLifeMs, sendPlain, stagingPrefix, without } from './staging-server.ts'
import { describeStaging, type StagingPlace } from './staging-suite.ts'

/** Staging on a real S3 server: what holds on each of them, what signatures enforce, and where RGW is weaker than AWS. */

describeWith(cephRgwRequirement, 'staging on Ceph RGW', () => {
  const place = describeStaging(startCephRgw, { second: 'present', early: 'done' })
  describeSignatures(place)
  describeRgw(place)
})

function describeSignatures(place: StagingPlace): void {
  test('each header is signed: altered, added to or left out, the upload is refused', async () => {
    const { staging, area } = place
    const [name, bytes] = [staging.newName(), bytesOf(1000)]
    const grant = await area.grant(name, contentOf(bytes), grantLifeMs)
    const { headers, url } = grant
    assert.deepEqual(Object.keys(headers).sort(), ['content-length', 'if-none-match', 'x-amz-checksum-sha256'])
    const longer = Buffer.concat([bytes, bytesOf(1)])
    const attempts = {
      shorter: { headers: { ...headers, 'content-length': '999' }, body: bytes.subarray(1) },
      longer: { headers: { ...headers, 'content-length': '1001' }, body: longer },
      'of unknown length': {
        headers: { ...without(grant, 'content-length'), 'transfer-encoding': 'chunked' },
        body: bytes,
      },
      'with another checksum': { headers: { ...headers, 'x-amz-checksum-sha256': checksumOf(longer) }, body: bytes },
      'without checksum': { headers: without(grant, 'x-amz-checksum-sha256'), body: bytes },
      'over what is there': { headers: without(grant, 'if-none-match'), body: bytes },
      'over something else': { headers: { ...headers, 'if-none-match': '"x"' }, body: bytes },
    }
    for (const [what, attempt] of Object.entries(attempts)) {
      assert.equal((await sendPlain({ url, ...attempt })).status, 403, what)
    }
    const forged = {
      'a longer life': url.replace('X-Amz-Expires=', 'X-Amz-Expires=1'),
      'a later day': url.replace(/X-Amz-Date=\d{8}/, 'X-Amz-Date=20991231'),
      'fewer signed headers': url.replace('X-Amz-SignedHeaders=content-length%3B', 'X-Amz-SignedHeaders='),
      'a public object': `${url}&acl`,
      tags: `${url}&tagging`,
      'a part of an upload': `${url}&partNumber=1&uploadId=x`,
    }
    for (const [what, other] of Object.entries(forged)) {
      assert.notEqual(other, url)
      assert.equal((await sendPlain({ url: other, headers, body: bytes })).status, 403, what)
    }
    assert.equal(await area.check(name, contentOf(bytes)), undefined)
    assert.equal((await sendPlain({ url, headers, body: bytes })).status, 200)
  })

  test('a checksum that the store keeps is compared with the one granted', async () => {
    const { staging, area } = place
    const [name, bytes] = [staging.newName(), bytesOf(1000)]
    const injector = await startFaultInjector(staging.server.endpoint)
    const behind = await staging.openBehind(injector.origin)
    await staging.upload(await area.grant(name, contentOf(bytes), grantLifeMs), bytes)
    const answers = [
      [checksumOf(bytes), 'whole'],
      [checksumOf(bytesOf(1000)), 'different'],
      // Of the parts of a multipart upload, and what is no checksum at all.
      [`${checksumOf(bytesOf(1000))}-3`, 'whole'],
      ['x', 'whole'],
    ] as const
    for (const [checksum, expected] of answers) {
      const headers = { 'content-length': '1000', 'x-amz-checksum-sha256': checksum }
      injector.setPlan(({ method }) => (method === 'HEAD' ? { kind: 'answer', status: 200, headers } : undefined))
      assert.equal(await behind.check(name, contentOf(bytes)), expected, checksum)
      assert.equal(injector.seen.at(-1)?.headers['x-amz-checksum-mode'], 'ENABLED')
    }
    await behind.close()
    await injector.stop()
  })

  test('servers that do not know checksums are neither sent one nor asked for it', async () => {
    const { staging } = place
    const injector = await startFaultInjector(staging.server.endpoint)
    const behind = await staging.openBehind(injector.origin, '&checksums=when_required')
    const [name, bytes] = [staging.newName(), bytesOf(1000)]
    const grant = await behind.grant(name, contentOf(bytes), grantLifeMs)
    assert.deepEqual(await staging.upload(grant, bytes), { kind: 'done' })
    assert.equal(await behind.check(name, contentOf(bytes)), 'whole')
    assert.equal(injector.seen.length, 2)
    for (const { headers, url: path } of injector.seen) {
      assert.ok(!/checksum|crc/i.test(JSON.stringify(headers) + path), path)
    }
    await behind.close()
    await injector.stop()
  })
}

/** What holds of Ceph RGW 16 and not of AWS: docs/staging.md says so. When one of these fails, correct it there. */
function describeRgw(place: StagingPlace): void {
  test('RGW 16 takes other bytes than those of the checksum, and does not keep it', async () => {
    const { staging, area } = place
    const [name, bytes, other] = [staging.newName(), bytesOf(1000), bytesOf(1000)]
    const grant = await area.grant(name, contentOf(bytes), grantLifeMs)
    assert.deepEqual(await staging.upload(grant, other), { kind: 'done' })
    assert.deepEqual(await area.get(name), other)
    assert.equal(await area.check(name, contentOf(bytes)), 'whole')
  })

  test('RGW 16 lets a header be added that makes a copy of the upload, also over what is there', async () => {
    const { staging, area } = place
    const [name, source, bytes, other] = [staging.newName(), staging.newName(), bytesOf(1000), bytesOf(10)]
    const grant = await area.grant(name, contentOf(bytes), grantLifeMs)
    await staging.upload(grant, bytes)
    await staging.upload(await area.grant(source, contentOf(other), grantLifeMs), other)
    const copySource = encodeURI(`/staging/${stagingPrefix}/${source}`)
    const headers = { ...grant.headers, 'x-amz-copy-source': copySource }
    assert.equal((await sendPlain({ url: grant.url, headers, body: bytes })).status, 200)
    assert.equal(await area.check(name, contentOf(bytes)), 'different')
  })
}
