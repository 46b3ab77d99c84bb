import { StrataError } from '@strata/shared/errors.ts'
import { withoutWrap, withWrap } from '@strata/shared/keys/change-keys.ts'
import { wrapNames, type UnlockSecrets } from '@strata/shared/keys/open-private-key.ts'
import { keyProviders } from '@strata/shared/keys/key-providers.ts'
import {
  wrapWithPassphrase,
  wrapWithProvider,
  wrapWithSecret,
  type ProviderKeyName,
} from '@strata/shared/keys/private-key-wrap.ts'
import { formerKeysOf, type TenantKeysDocument } from '@strata/shared/keys/tenant-document.ts'
import { isProviderWrap, type PrivateKeyWrap } from '@strata/shared/keys/wrap-schema.ts'
import { passphraseCharsAdvised } from '@strata/shared/limits.ts'
import { appendTenantKeys } from '@strata/shared/repository/keys-document.ts'
import { requireOpens, type UnlockedTenant } from '@strata/shared/repository/unlock.ts'
import type { ObjectStore } from '@strata/shared/store/object-store.ts'
import { exitCodes, stopIfInterrupted, type Context, type ExitCode } from '../context.ts'
import { parseKeyWay, providerKeyOf } from '../input/key-way.ts'
import { askNewPassphrase } from '../input/prompt.ts'
import { factLines } from '../output/table.ts'
import { withStore } from '../store.ts'
import { readOrMakeKeyFile, unlockGivenTenant } from '../unlock.ts'

export interface KeyOptions {
  readonly tenant?: string
}

/** What all of these commands answer: how the tenant's key opens now. */
interface KeysAnswer {
  readonly tenant: string
  readonly tenantName: string
  readonly revision: number
  /** Of the index key; one more than there were rotations. */
  readonly generation: number
  readonly opensWith: readonly string[]
}

/** `strata key show`. */
export async function keyShow(context: Context, options: KeyOptions): Promise<ExitCode> {
  return await withUnlocked(context, options, (_, { document, keyring }) => {
    const answer = answerOf(document, keyring.tenantName)
    context.reporter.result(answer, [
      ...factLines([
        ['tenant', `${keyring.tenantName} (${document.tenantId})`],
        ['revision', String(document.revision)],
        ['rotations', String(formerKeysOf(document).length)],
        ['keyring', context.settings.keyringPath],
      ]),
      ...document.privateKeyWraps.map((wrap) => `opens with ${describeWrap(wrap)}`),
    ])
    return Promise.resolve(exitCodes.success)
  })
}

/** `strata key passphrase`: a new one in the place of the one there was, or beside the other ways. */
export async function keyPassphrase(context: Context, options: KeyOptions): Promise<ExitCode> {
  const { reporter, random } = context
  return await withUnlocked(context, options, async (store, unlocked) => {
    const passphrase = await newPassphrase(context)
    if (passphrase.length < passphraseCharsAdvised) {
      reporter.warning('the passphrase is short; whoever can read the store can try guesses without being seen')
    }
    const { privateKey } = unlocked
    const wrap = await wrapWithPassphrase(privateKey, privateKey.bytes(), passphrase, random)
    const document = await replaceWrap(context, store, unlocked, wrap, { passphrase })
    const isNew = !unlocked.document.privateKeyWraps.some(({ kind }) => kind === 'passphrase')
    tell(context, document, unlocked, isNew ? 'the tenant has a passphrase now' : 'the passphrase is changed')
    if (!isNew) reporter.note(oldRevisionsStay)
    return exitCodes.success
  })
}

/** `strata key add`. */
export async function keyAdd(context: Context, way: string, options: KeyOptions): Promise<ExitCode> {
  const added = parseAddedWay(way)
  return await withUnlocked(context, options, async (store, unlocked) => {
    const { wrap, secret, what } =
      'path' in added ? await keyFileWrap(context, unlocked, added.path) : await providerWrap(context, unlocked, added)
    const document = await replaceWrap(context, store, unlocked, wrap, secret)
    tell(context, document, unlocked, `the tenant opens with ${what}`)
    return exitCodes.success
  })
}

interface AddedWrap {
  readonly wrap: PrivateKeyWrap
  /** What opens it. */
  readonly secret: UnlockSecrets
  readonly what: string
}

async function keyFileWrap({ random }: Context, { privateKey }: UnlockedTenant, path: string): Promise<AddedWrap> {
  const { keyFile, isMade } = await readOrMakeKeyFile(path, random)
  const wrap = wrapWithSecret('keyFile', privateKey, privateKey.bytes(), keyFile, random)
  return { wrap, secret: { keyFile }, what: `the key file ${path}${isMade ? ', made just now' : ''}` }
}

async function providerWrap(
  { env, random }: Context,
  { privateKey }: UnlockedTenant,
  name: ProviderKeyName,
): Promise<AddedWrap> {
  const provider = keyProviders({ env })
  const wrap = await wrapWithProvider(name, privateKey, privateKey.bytes(), provider, random)
  return { wrap, secret: { provider }, what: describeWrap(wrap) }
}

/** `strata key remove`. */
export async function keyRemove(context: Context, way: string, options: KeyOptions): Promise<ExitCode> {
  const kind = parseKeyWay(way)
  return await withUnlocked(context, options, async (store, unlocked) => {
    const document = withoutWrap(unlocked.document, unlocked.privateKey, kind)
    stopIfInterrupted(context.signal)
    await appendTenantKeys(store, document)
    tell(context, document, unlocked, `the tenant does not open with ${wrapNames[kind]} any more`)
    context.reporter.note(oldRevisionsStay)
    return exitCodes.success
  })
}

/** Puts the next revision with `wrap` in it, once it is seen to open with its secret. */
export async function replaceWrap(
  { signal }: Context,
  store: ObjectStore,
  { document, privateKey }: UnlockedTenant,
  wrap: PrivateKeyWrap,
  secret: UnlockSecrets,
): Promise<TenantKeysDocument> {
  const next = withWrap(document, privateKey, wrap)
  await requireOpens(next, privateKey, secret)
  stopIfInterrupted(signal)
  await appendTenantKeys(store, next)
  return next
}

export function answerOf(document: TenantKeysDocument, tenantName: string): KeysAnswer {
  return {
    tenant: document.tenantId,
    tenantName,
    revision: document.revision,
    generation: document.indexKeys.at(-1)?.generation ?? 1,
    opensWith: document.privateKeyWraps.map(({ kind }) => kind),
  }
}

async function withUnlocked(
  context: Context,
  { tenant }: KeyOptions,
  work: (store: ObjectStore, unlocked: UnlockedTenant) => Promise<ExitCode>,
): Promise<ExitCode> {
  return await withStore(context, async (store) => await work(store, await unlockGivenTenant(context, store, tenant)))
}

async function newPassphrase({ settings, terminal }: Context): Promise<string> {
  if (settings.newPassphrase !== undefined) return settings.newPassphrase
  if (terminal !== undefined) return await askNewPassphrase(terminal, 'New passphrase')
  throw new StrataError('E_KEY_MISSING', 'no new passphrase was given', {
    hint: 'Set STRATA_NEW_PASSPHRASE, or run this on a terminal.',
  })
}

const keyFilePrefix = 'key-file:'

function parseAddedWay(text: string): { readonly path: string } | ProviderKeyName {
  if (text.startsWith(keyFilePrefix) && text.length > keyFilePrefix.length) {
    return { path: text.slice(keyFilePrefix.length) }
  }
  const key = providerKeyOf(text)
  if (key !== undefined) return key
  throw new StrataError('E_USAGE', `'${text}' is none of key-file:PATH, aws:KEY, azure:URL`)
}

function describeWrap(wrap: PrivateKeyWrap): string {
  return isProviderWrap(wrap) ? `${wrapNames[wrap.kind]}: ${wrap.key}` : wrapNames[wrap.kind]
}

function tell(context: Context, document: TenantKeysDocument, { keyring }: UnlockedTenant, what: string): void {
  const { revision } = document
  context.reporter.result(answerOf(document, keyring.tenantName), [
    `${what} (revision ${String(revision)} of its keys)`,
  ])
}

const oldRevisionsStay =
  'Earlier revisions of the keys stay in the store and open as they did. If a secret is known to others: strata key rotate.'
