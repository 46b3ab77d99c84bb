import assert from 'node:assert/strict'
import { copyFile, mkdir, readFile, rm } from 'node:fs/promises'
import { after, before, test } from 'node:test'
import { systemClock, systemRandomBytes } from '@strata/shared/clock.ts'
import { destructionName } from '@strata/shared/format/names.ts'
import { encodeDestruction } from '@strata/shared/keys/destruction-document.ts'
import { readKeyFile } from '@strata/shared/keys/key-file.ts'
import { readDestruction } from '@strata/shared/repository/destruction.ts'
import { unlockRepository } from '@strata/shared/repository/unlock.ts'
import { openDirectoryStore } from '@strata/shared/store/directory.ts'
import type { TenantId } from '@strata/shared/types.ts'
import { FakeKms } from '../servers/fake-kms.ts'
import { redisRequirement } from '../servers/redis.ts'
import { describeWith } from '../servers/require-server.ts'
import { makeDisk, Place, type RunOptions } from './place.ts'

interface KeysAnswer {
  readonly revision: number
  readonly generation: number
  readonly opensWith: readonly string[]
}

const nothing: NonNullable<RunOptions['env']> = {
  STRATA_KEY_FILE: undefined,
  STRATA_PASSPHRASE: undefined,
  STRATA_STORE: undefined,
  STRATA_STATE: undefined,
}

/** Keys that change, with backups before and after, by the program as its users have it. */
describeWith(redisRequirement, 'keys', () => {
  let place: Place
  let oldKeyring: string

  before(async () => {
    place = await Place.withPoint()
    oldKeyring = place.file('old-keyring.json')
    await copyFile(place.file('state/keyring.json'), oldKeyring)
  })
  after(() => place[Symbol.asyncDispose]())

  test('after a rotation the chain goes on, and points from before and after restore with one secret', async () => {
    const { point: earlier } = await place.backUpGood()
    const before = place.file('before.img')
    await copyFile(place.file('disk.img'), before)
    const rotated = await place.answers<KeysAnswer>('key', 'rotate')
    assert.deepEqual([rotated.revision, rotated.generation], [2, 2])
    await place.changeDisk()
    const { kind, point } = await place.backUpGood()
    assert.equal(kind, 'incremental')
    await place.assertRestores(earlier, before)
    await place.assertRestores(point, place.file('disk.img'))
    await place.answers('verify', '--all')
  })

  test('a keyring from before the rotation: told what it is by what it cannot open, and renewed with a secret', async () => {
    const keyring = place.file('behind.json')
    await copyFile(oldKeyring, keyring)
    const env = { STRATA_KEYRING: keyring, STRATA_KEY_FILE: undefined }
    const backup = ['backup', place.file('disk.img'), '--set', 'good']
    const { hint } = await place.refuses('E_KEYRING_BEHIND', backup, { env })
    assert.match(hint, /copy the keyring|Copy the keyring/)
    // A set of its own it can still back up; whoever reads the messages sees that it should not.
    const run = await place.run(['backup', place.file('disk.img'), '--set', 'other', '--json'], { env })
    assert.equal(run.exitCode, 0, run.messages)
    assert.match(run.messages, /W_KEYRING_BEHIND/)
    await place.assertRestores('latest:other', place.file('disk.img'))
    await place.answersWith({ env: { STRATA_KEYRING: keyring } }, 'key', 'show')
    assert.deepEqual(await readFile(keyring), await readFile(place.file('state/keyring.json')))
    await place.answersWith({ env }, ...backup)
  })

  test('a changed passphrase opens, the one before does not', async () => {
    const passphrases = ['first passphrase', 'second passphrase'] as const
    const of = (passphrase: string): RunOptions => ({
      env: { STRATA_KEY_FILE: undefined, STRATA_PASSPHRASE: passphrase },
    })
    const added = { env: { STRATA_NEW_PASSPHRASE: passphrases[0] } }
    await place.answersWith(added, 'key', 'passphrase')
    const changing = { env: { ...of(passphrases[0]).env, STRATA_NEW_PASSPHRASE: passphrases[1] } }
    await place.answersWith(changing, 'key', 'passphrase')
    const restore = ['restore', 'latest:good', '--to', 'target.img']
    await place.refuses('E_KEY_WRONG', restore, of(passphrases[0]))
    await place.answersWith(of(passphrases[1]), ...restore)
  })

  test('bucket and paper alone: with all else lost, every point comes back', async () => {
    await using lost = await Place.empty()
    await makeDisk(lost.file('disk.img'), 2)
    await lost.answers('init', '--tenant', 'Baker & Sons')
    await lost.backUpGood()
    const printed = await lost.run(['key', 'sheet'])
    assert.equal(printed.exitCode, 0, printed.messages)
    const paper = printed.output
    await copyFile(lost.file('disk.img'), lost.file('wanted.img'))
    for (const gone of ['state', 'key', 'disk.img']) await rm(lost.file(gone), { recursive: true })
    await mkdir(lost.file('home'))

    const url = /export STRATA_STORE='(.*)'/.exec(paper)?.[1]
    const key = [...paper.matchAll(/^ +\d: {2}(.*)$/gm)].map(([, line]) => line ?? '').join('\n')
    const env = { ...nothing, HOME: lost.file('home'), STRATA_STORE: url, STRATA_RECOVERY_KEY: key }
    const slip = key.replace(/[0-9A-Z](?=.*\n)/, (character) => (character === 'Z' ? 'Y' : 'Z'))
    const { message } = await lost.refuses('E_RECOVERY_KEY', ['points'], { env: { ...env, STRATA_RECOVERY_KEY: slip } })
    assert.match(message, /line 1/)
    const points = await lost.answersWith<{ set: string }[]>({ env }, 'points')
    assert.deepEqual(
      points.map(({ set }) => set),
      ['good'],
    )
    await lost.answersWith({ env }, 'restore', 'latest:good', '--to', lost.file('back.img'))
    assert.ok((await readFile(lost.file('back.img'))).equals(await readFile(lost.file('wanted.img'))))
  })

  test('AWS KMS: init, restore and rotate with it alone, and a permission that is missing is named', async () => {
    await using kms = await FakeKms.start()
    await using tenant = await Place.empty(kms.env)
    const alone = { env: { STRATA_KEY_FILE: undefined } }
    await makeDisk(tenant.file('disk.img'), 3)
    kms.allowed.delete('kms:Decrypt')
    const init = ['init', '--kms', `aws:${kms.alias}`]
    const denied = await tenant.run(['--json', ...init], alone)
    assert.match(denied.output, /"E_KEY_DENIED".*kms:Decrypt on arn:aws:kms:/s)
    kms.allowed.add('kms:Decrypt')
    const made = await tenant.answersWith<{ unlockedBy: string[] }>(alone, ...init)
    assert.deepEqual(made.unlockedBy, ['awsKms'])
    await tenant.answersWith(alone, 'backup', tenant.file('disk.img'), '--set', 'good')
    const rotated = await tenant.answersWith<KeysAnswer>(alone, 'key', 'rotate')
    assert.deepEqual([rotated.revision, rotated.opensWith], [2, ['awsKms']])
    await rm(tenant.file('state'), { recursive: true })
    await tenant.answersWith(alone, 'restore', 'latest:good', '--to', tenant.file('back.img'))
    assert.ok((await readFile(tenant.file('back.img'))).equals(await readFile(tenant.file('disk.img'))))

    kms.allowed.clear()
    const restore = ['restore', 'latest:good', '--to', tenant.file('again.img')]
    const { message, hint } = await tenant.refuses('E_KEY_DENIED', restore, alone)
    assert.match(message, /kms:Decrypt on arn:aws:kms:/)
    assert.match(hint, /Grant kms:Decrypt/)
    const adding = { env: { ...alone.env, STRATA_NEW_PASSPHRASE: 'a passphrase of its own' } }
    await tenant.refuses('E_KEY_DENIED', ['key', 'passphrase'], adding)
    kms.allowed.add('kms:Decrypt')
    await tenant.answersWith(adding, 'key', 'passphrase')
    kms.allowed.clear()
    await tenant.answersWith({ env: { ...alone.env, STRATA_PASSPHRASE: 'a passphrase of its own' } }, ...restore)
  })

  test('a tenant that two people had destroyed: every command says so, also on machines that were not told', async () => {
    await using doomed = await Place.empty({ STRATA_PASSPHRASE: 'the passphrase of one person' })
    const passphrase = { env: { STRATA_KEY_FILE: undefined } }
    const keyFile = { env: { STRATA_PASSPHRASE: undefined } }
    await doomed.answers('init', '--tenant', 'Doomed')
    await makeDisk(doomed.file('disk.img'), 4)
    await doomed.backUpGood()
    const elsewhere = { env: { STRATA_KEYRING: doomed.file('elsewhere.json') } }
    await copyFile(doomed.file('state/keyring.json'), doomed.file('elsewhere.json'))
    const destroy = ['key', 'destroy', '--tenant', 'Doomed']
    await doomed.answersWith(passphrase, ...destroy, '--request')
    await doomed.answersWith(keyFile, ...destroy, '--confirm')
    const { details } = await doomed.refuses('E_DESTROY_REFUSED', [...destroy, '--execute'], keyFile)
    assert.ok(typeof details?.['dueAt'] === 'string')
    await doomed.backUpGood()

    const tenant = await makeDue(doomed)
    await doomed.answersWith(keyFile, ...destroy, '--execute')
    assert.deepEqual(await doomed.objects(/\/keys\//), [])
    const backup = ['backup', doomed.file('disk.img'), '--set', 'good']
    for (const args of [['points'], ['restore', 'latest:good', '--to', 'x.img'], ['verify', '--all'], backup]) {
      await doomed.refuses('E_TENANT_DESTROYED', args)
      await doomed.refuses('E_TENANT_DESTROYED', args, elsewhere)
    }
    const again = await doomed.answers<{ resumed: boolean }>('key', 'destroy', '--tenant', tenant, '--execute')
    assert.equal(again.resumed, true)
  })
})

/** As if the delay had passed: by whoever has the key. */
async function makeDue(place: Place): Promise<TenantId> {
  const store = await openDirectoryStore(place.file('store'), { clock: systemClock, randomBytes: systemRandomBytes })
  const keyFile = await readKeyFile(place.file('key'))
  const { privateKey } = await unlockRepository(store, {
    keyringPath: place.file('state/keyring.json'),
    secrets: () => Promise.resolve({ keyFile }),
    random: systemRandomBytes,
  })
  const { tenantId } = privateKey
  const facts = await readDestruction(store, tenantId)
  assert.ok(facts)
  const dueAt = new Date(Date.now() - 1000).toISOString()
  await store.put(destructionName(tenantId, facts.number), [encodeDestruction({ ...facts, dueAt }, privateKey)])
  await store.close()
  return tenantId
}
