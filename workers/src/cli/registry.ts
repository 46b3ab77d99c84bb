import { StrataError } from '@strata/shared/errors.ts'
import { Registry } from '@strata/shared/repository/registry/registry.ts'
import type { UnreadableDocument } from '@strata/shared/repository/registry/versioned.ts'
import type { Context, ExitCode } from './context.ts'
import { formatCount } from './output/bytes.ts'
import { withStore } from './store.ts'
import { openGivenTenant } from './unlock.ts'

/** Opens the tenant's registry: the keyring is enough. */
export async function withRegistry(
  context: Context,
  tenant: string | undefined,
  work: (registry: Registry) => Promise<ExitCode>,
): Promise<ExitCode> {
  return await withStore(context, async (store) => {
    const { repository } = await openGivenTenant(context, store, tenant)
    return await work(new Registry(repository))
  })
}

/** The list was given in full; now it is said that something is missing in it. */
export function requireAllReadable(
  { reporter }: Context,
  what: string,
  unreadable: readonly UnreadableDocument[],
): void {
  for (const { id, error } of unreadable) reporter.warning(`${error.code}: ${what} ${id}: ${error.message}`)
  const [first] = unreadable
  if (first === undefined) return
  throw new StrataError(first.error.code, `${formatCount(unreadable.length, what)} cannot be read`, {
    cause: first.error,
    hint: first.error.hint,
  })
}

/** By UTF-16 units: the same order on every machine. */
export function compareTexts(a: string, b: string): number {
  return a < b ? -1 : Number(a > b)
}
