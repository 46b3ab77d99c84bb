import { koffi } from './libc.ts'

/** What a call has failed with whose errno is `number`, as Node's own errors are. */
export function systemError(call: string, number: number): Error {
  const code = Object.entries(koffi().os.errno).find(([, known]) => known === number)?.[0]
  return Object.assign(new Error(`${call}: ${code ?? String(number)}`), { code: code ?? `errno ${String(number)}` })
}
