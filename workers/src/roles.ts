import { StrataError } from '@strata/shared/errors.ts'

/** What a service process does. Each role starts alone or with others, in as many processes and on as many hosts as wanted. */
export const roles = {
  gateway: 'agents talk to it',
  ingest: 'turns segments into packs',
  commit: 'makes points of sessions',
  maintain: 'clears away dead sessions, and gives jobs again that Redis has lost',
} as const
export type Role = keyof typeof roles

export const allRoles: ReadonlySet<Role> = new Set(Object.keys(roles) as Role[])

/** `gateway,ingest`. E_USAGE. */
export function parseRoles(text: string): ReadonlySet<Role> {
  const names = text.split(',').map((name) => name.trim())
  for (const name of names) {
    if (Object.hasOwn(roles, name)) continue
    throw new StrataError('E_USAGE', `there is no role '${name}'; there are ${[...allRoles].join(', ')}`)
  }
  return new Set(names as Role[])
}
