import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { bytesOf } from '../conformance/store-helpers.ts'
import { startAzurite } from '../servers/azurite.ts'
import { contentOf, grantLifeMs, sendPlain, without } from './staging-server.ts'
import { describeStaging, type StagingPlace } from './staging-suite.ts'

/** Staging on Azure's emulator: what holds on every server, what a SAS enforces, and what is left to the check. */

describe('staging on Azurite', () => {
  describeSas(describeStaging(startAzurite, { second: 'refused', early: 'refused' }))
})

function describeSas(place: StagingPlace): void {
  test('create-only holds without the header that asks for it', async () => {
    const { staging, area } = place
    const [name, bytes] = [staging.newName(), bytesOf(1000)]
    const grant = await area.grant(name, contentOf(bytes), grantLifeMs)
    const headers = without(grant, 'if-none-match')
    assert.equal((await sendPlain({ url: grant.url, headers, body: bytes })).status, 201)
    assert.equal((await sendPlain({ url: grant.url, headers, body: bytesOf(1000) })).status, 403)
    assert.deepEqual(await area.get(name), bytes)
  })

  test('a SAS covers no header: what is of another length or kind is found by the check', async () => {
    const { staging, area } = place
    const bytes = bytesOf(1024)
    const upload = async (body: Uint8Array, more: Record<string, string>): Promise<string> => {
      const name = staging.newName()
      const grant = await area.grant(name, contentOf(bytes), grantLifeMs)
      const headers = { ...grant.headers, 'content-length': String(body.byteLength), ...more }
      assert.equal((await sendPlain({ url: grant.url, headers, body })).status, 201)
      return name
    }
    const odd = [
      await upload(bytes.subarray(1), {}),
      await upload(bytesOf(2000), {}),
      await upload(bytesOf(0), { 'x-ms-blob-type': 'AppendBlob' }),
      await upload(bytesOf(0), { 'x-ms-blob-type': 'PageBlob', 'x-ms-blob-content-length': '2048' }),
    ]
    for (const name of odd) assert.equal(await area.check(name, contentOf(bytes)), 'different')
    // Of the right length they are for ingest to find.
    assert.equal(await area.check(await upload(bytesOf(1024), {}), contentOf(bytes)), 'whole')
  })

  test('what else can be done to a blob cannot be done with it', async () => {
    const { staging, area } = place
    const [name, bytes] = [staging.newName(), bytesOf(100)]
    const { url } = await area.grant(name, contentOf(bytes), grantLifeMs)
    await staging.upload(await area.grant(name, contentOf(bytes), grantLifeMs), bytes)
    const headers = {
      'content-length': '0',
      'x-ms-lease-action': 'acquire',
      'x-ms-lease-duration': '-1',
      'x-ms-meta-a': 'b',
    }
    const comps = ['block&blockid=MDAwMQ%3D%3D', 'blocklist', 'tags', 'metadata', 'properties', 'lease', 'undelete']
    for (const comp of comps) {
      assert.equal((await sendPlain({ url: `${url}&comp=${comp}`, headers })).status, 403, comp)
    }
    assert.deepEqual(await area.get(name), bytes)
    await area.delete(name)
  })

  test('a SAS cannot be altered', async () => {
    const { staging, area } = place
    const [name, bytes] = [staging.newName(), bytesOf(100)]
    const { url, headers } = await area.grant(name, contentOf(bytes), grantLifeMs)
    const forged = {
      'a longer life': url.replace(/se=\d{4}/, 'se=2099'),
      'more permissions': url.replace('sp=c', 'sp=racwd'),
      'the container': url.replace('sr=b', 'sr=c'),
      'another protocol': url.replace(/&spr=[^&]*/, ''),
    }
    for (const [what, other] of Object.entries(forged)) {
      assert.notEqual(other, url)
      assert.equal((await sendPlain({ url: other, headers, body: bytes })).status, 403, what)
    }
    assert.equal(await area.check(name, contentOf(bytes)), undefined)
  })

  test('snapshots that an uploader makes do not keep his object from being deleted', async () => {
    const { staging, area, store } = place
    const [name, bytes] = [staging.newName(), bytesOf(100)]
    const grant = await area.grant(name, contentOf(bytes), grantLifeMs)
    await staging.upload(grant, bytes)
    const snapshot = { url: `${grant.url}&comp=snapshot`, headers: { 'content-length': '0' } }
    assert.equal((await sendPlain(snapshot)).status, 201)
    await assert.rejects(store.delete(name), { code: 'E_STORE_PROTOCOL' })
    await area.delete(name)
    assert.equal(await area.check(name, contentOf(bytes)), undefined)
  })

  test('a grant is for https where there is https', async () => {
    const { staging } = place
    const area = await staging.open({}, 'azure://staging?endpoint=https%3A%2F%2Fstaging.example')
    const { url } = await area.grant(staging.newName(), contentOf(bytesOf(1)), grantLifeMs)
    assert.equal(new URL(url).searchParams.get('spr'), 'https')
    await area.close()
  })
}
