import { recoveryKeyLines } from '@strata/shared/keys/recovery-key.ts'
import { factLines } from './table.ts'

export interface RecoverySheet {
  readonly tenantName: string
  readonly tenant: string
  readonly repository: string
  /** Without credentials. */
  readonly storeUrl: string
  /** ISO 8601. */
  readonly madeAt: string
  readonly key: Uint8Array
}

/** A page to print. No line of ours is longer than 80 columns. */
export function recoverySheetLines({ tenantName, tenant, repository, storeUrl, madeAt, key }: RecoverySheet): string[] {
  return [
    'STRATA RECOVERY SHEET',
    '',
    'With this sheet and the store, everything of this tenant can be restored; no',
    'server, no other file and no passphrase is needed. Whoever has both can read',
    'everything: keep it like a key, and not where the store is.',
    '',
    ...factLines([
      ['tenant', tenantName],
      ['tenant id', tenant],
      ['repository', repository],
      ['store', storeUrl],
      ['made', madeAt],
    ]),
    '',
    'Recovery key',
    '',
    ...recoveryKeyLines(key).map((line, index) => `    ${String(index + 1)}:  ${line}`),
    '',
    'The letters I, L, O and U are not in it: what looks like one is 1 or 0.',
    'Capitals or not, dashes or not: it is the same.',
    '',
    'To restore, on any machine with Strata and with the credentials of the store:',
    '',
    `    export STRATA_STORE=${quoted(storeUrl)}`,
    `    strata points --recovery-key --tenant ${tenant}`,
    '    strata restore POINT --to FILE --recovery-key',
    '',
    'Each asks for the four lines, and says which of them has a slip. Whoever has',
    'no Strata finds in its docs/format.md how everything is kept.',
    '',
    'This sheet is good until another one is made, or this one is taken back with',
    'strata key remove recovery-sheet. strata key show tells whether the tenant has',
    'one. Try it once a year.',
  ]
}

/** For a POSIX shell. */
function quoted(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`
}
