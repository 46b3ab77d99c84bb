import { rotateTenant } from '@strata/shared/repository/rotate-tenant.ts'
import { exitCodes, stopIfInterrupted, type Context, type ExitCode } from '../context.ts'
import { factLines } from '../output/table.ts'
import { withStore } from '../store.ts'
import { unlockWithAllSecrets } from '../unlock.ts'
import { answerOf, type KeyOptions } from './key.ts'

/** `strata key rotate`. */
export async function keyRotate(context: Context, options: KeyOptions): Promise<ExitCode> {
  const { reporter, settings, random, signal } = context
  const { keyringPath } = settings
  return await withStore(context, async (store) => {
    const { unlocked, secrets } = await unlockWithAllSecrets(context, store, options.tenant)
    stopIfInterrupted(signal)
    const { document, keyring, resumed } = await rotateTenant(store, unlocked, { keyringPath, secrets, random })
    const answer = answerOf(document, keyring.tenantName)
    reporter.result({ ...answer, resumed, keyring: keyringPath }, [
      ...factLines([
        ['tenant', `${keyring.tenantName} (${document.tenantId})`],
        ['keys', `rotated${resumed ? ' by an earlier run, which is finished now' : ''}`],
        ['revision', String(document.revision)],
        ['keyring', keyringPath],
      ]),
    ])
    for (const line of whatIsLeft) reporter.note(line)
    return exitCodes.success
  })
}

const whatIsLeft = [
  '',
  'Other machines with a keyring of this tenant go on with the former keys until',
  'theirs is replaced by this one: copy it there, and restart what serves with it.',
  'What was stored before the rotation opens with the former keys for ever.',
]
