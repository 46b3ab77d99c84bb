import { hasCode } from '@strata/shared/errors.ts'
import type { Warning } from '@strata/shared/format/manifest.ts'
import { openLifecycle, type OpenLifecycleOptions } from './open-lifecycle.ts'

/**
 * What stands in the way of the end of what is tagged, for whoever tags; undefined: the bucket deletes it, or the store is
 * a directory. A role that may only tag may not be able to see it: that is no error.
 */
export async function expiryWarning(
  url: string,
  options: Pick<OpenLifecycleOptions, 'env' | 'clock' | 'azureAccess'>,
): Promise<Warning | undefined> {
  const lifecycle = await openLifecycle(url, { ...options, use: 'repository' })
  try {
    const { report } = await lifecycle.plan()
    if (report.provider === 'directory') return undefined
    if (report.versions === null) return unknown('the account was not asked (STRATA_AZURE_SUBSCRIPTION)')
    const expiring = report.rules.find(({ name }) => /expire[-X]retired$/.test(name))
    if (expiring?.state === 'as-wanted') return undefined
    const state = expiring?.state ?? 'missing'
    return {
      code: 'W_NOTHING_EXPIRES',
      message: `the rule of ${report.bucket} that deletes what is retired is ${state}: strata lifecycle apply`,
    }
  } catch (error) {
    if (!hasCode(error, 'E_STORE_DENIED', 'E_CONFIGURATION', 'E_STORE_PROTOCOL')) throw error
    return unknown(error.message)
  } finally {
    await lifecycle.close()
  }
}

function unknown(why: string): Warning {
  return { code: 'W_EXPIRY_UNKNOWN', message: `whether the bucket deletes what is retired cannot be seen: ${why}` }
}
