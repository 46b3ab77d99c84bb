import { stat } from 'node:fs/promises'
import { resolve } from 'node:path'
import { StrataError, systemErrorCode } from '@strata/shared/errors.ts'
import { keyBytes } from '@strata/shared/format/xaes.ts'
import { wrapWithSecret } from '@strata/shared/keys/private-key-wrap.ts'
import { parseRecoveryKey, recoveryKeyLines } from '@strata/shared/keys/recovery-key.ts'
import { writeSecretFile } from '@strata/shared/keys/secret-file.ts'
import { exitCodes, type Context, type ExitCode } from '../context.ts'
import { recoverySheetLines, type RecoverySheet } from '../output/recovery-sheet.ts'
import { requireStoreUrl } from '../settings.ts'
import { withStore } from '../store.ts'
import { unlockGivenTenant } from '../unlock.ts'
import { answerOf, replaceWrap, type KeyOptions } from './key.ts'

export interface KeySheetOptions extends KeyOptions {
  readonly to?: string
}

/**
 * `strata key sheet`. The store knows the new key before anybody sees it: a sheet that was shown opens the tenant. If the
 * run ends between the two, the next one makes another sheet.
 */
export async function keySheet(context: Context, options: KeySheetOptions): Promise<ExitCode> {
  const { reporter, random } = context
  const path = options.to === undefined ? undefined : resolve(options.to)
  if (path !== undefined) await requireNothingAt(path)
  return await withStore(context, async (store) => {
    const unlocked = await unlockGivenTenant(context, store, options.tenant)
    const { privateKey, keyring } = unlocked
    const key = random(keyBytes)
    const copied = parseRecoveryKey(recoveryKeyLines(key).join('\n'))
    const wrap = wrapWithSecret('recoverySheet', privateKey, privateKey.bytes(), key, random)
    const document = await replaceWrap(context, store, unlocked, wrap, { recoveryKey: copied })
    const replaces = unlocked.document.privateKeyWraps.some(({ kind }) => kind === 'recoverySheet')
    const sheet: RecoverySheet = {
      tenantName: keyring.tenantName,
      tenant: keyring.tenantId,
      repository: keyring.repositoryId,
      storeUrl: requireStoreUrl(context.settings),
      madeAt: new Date(await store.now()).toISOString(),
      key,
    }
    const lines = recoverySheetLines(sheet)
    const answer = { ...answerOf(document, keyring.tenantName), store: sheet.storeUrl, madeAt: sheet.madeAt, replaces }
    if (path === undefined) {
      reporter.result({ ...answer, recoveryKey: recoveryKeyLines(key) }, lines)
    } else {
      await writeSheet(path, lines)
      reporter.result({ ...answer, file: path }, [`the recovery sheet is in ${path}: print it, then remove the file`])
    }
    if (replaces) reporter.note('The sheet that was made before opens nothing any more.')
    return exitCodes.success
  })
}

/** Before anything is changed: the sheet there was stays good when there is no place for another one. */
async function requireNothingAt(path: string): Promise<void> {
  try {
    await stat(path)
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return
    throw new StrataError('E_CONFIGURATION', `${path} cannot be looked at (${systemErrorCode(error) ?? 'unknown'})`, {
      cause: error,
    })
  }
  throw exists(path)
}

async function writeSheet(path: string, lines: readonly string[]): Promise<void> {
  const bytes = Buffer.from(`${lines.join('\n')}\n`, 'utf8')
  if (!(await writeSecretFile(path, bytes, { what: 'recovery sheet', overwrite: false }))) throw exists(path)
}

function exists(path: string): StrataError {
  return new StrataError('E_KEY_FILE_EXISTS', `there is a file at ${path} already`, {
    hint: 'A recovery sheet is never written over anything. Give another path.',
  })
}
