import { inspect } from 'node:util'
import type { StrataError } from '@strata/shared/errors.ts'
import { printable } from './printable.ts'
import type { Style } from './style.ts'

/**
 * What a person sees of an error: `strata: E_CODE: what happened`, then what to do about it. Causes only when asked
 * for, except those of a bug: whoever reports it should not have to make it happen twice.
 */
export function errorLines(error: StrataError, style: Style, verbose: boolean): string[] {
  return [
    `strata: ${style.bad(error.code)}: ${printable(error.message)}`,
    ...logLines(error, style),
    `  → ${printable(error.hint)}`,
    ...(verbose || error.kind === 'bug' ? causeLines(error, style) : []),
  ]
}

/** The document that goes to standard output with --json. */
export function errorDocument(error: StrataError): { readonly error: unknown } {
  return { error: error.toJSON() }
}

/** The last lines of a program that ended, where the error brings them along. */
function logLines(error: StrataError, style: Style): string[] {
  const log = error.details?.['log']
  return Array.isArray(log) ? log.map((line) => style.faint(`  | ${printable(String(line))}`)) : []
}

const causesMax = 8

function causeLines(error: StrataError, style: Style): string[] {
  const lines = error.kind === 'bug' ? stackLines(error) : []
  let cause: unknown = error.cause
  for (let depth = 0; cause !== undefined && depth < causesMax; depth += 1) {
    const text = cause instanceof Error ? `${cause.name}: ${cause.message}` : inspect(cause)
    lines.push(`  caused by ${printable(text)}`)
    if (error.kind === 'bug' && cause instanceof Error) lines.push(...stackLines(cause))
    cause = cause instanceof Error ? cause.cause : undefined
  }
  return lines.map(style.faint)
}

function stackLines(error: Error): string[] {
  const calls = (error.stack ?? '').split('\n').filter((line) => line.startsWith('    at '))
  return calls.map((line) => `  ${printable(line.trim())}`)
}
