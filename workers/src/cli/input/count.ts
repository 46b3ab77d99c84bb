import { StrataError } from '@strata/shared/errors.ts'

/** Reads a number from 1 on; else E_USAGE. */
export function parseCount(text: string, option: string): number {
  if (/^[1-9][0-9]{0,8}$/.test(text)) return Number(text)
  throw new StrataError('E_USAGE', `${option} '${text}' is no number from 1 on`)
}
