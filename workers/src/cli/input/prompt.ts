import { StrataError, toStrataError } from '@strata/shared/errors.ts'
import { recoveryLineProblem, recoveryLines } from '@strata/shared/keys/recovery-key.ts'
import { passphraseBytesMax, passphrasePromptsMax } from '@strata/shared/limits.ts'

/** A terminal's keyboard: what process.stdin is when it is one. */
export interface Keyboard {
  readonly isTTY?: boolean | undefined
  setRawMode(raw: boolean): unknown
  resume(): unknown
  pause(): unknown
  /** Gives back what was typed too early. */
  unshift(chunk: Buffer): unknown
  on(event: 'data', listener: (chunk: Buffer) => void): unknown
  off(event: 'data', listener: (chunk: Buffer) => void): unknown
}

export interface PromptTerminal {
  readonly keyboard: Keyboard
  readonly show: (text: string) => void
  /** Ends a question that nobody answers, with the signal's reason. */
  readonly signal: AbortSignal
}

/** Asks for a passphrase without showing it. E_INTERRUPTED on Ctrl-C; E_KEY_MISSING on Ctrl-D. */
export async function askPassphrase(terminal: PromptTerminal, question: string): Promise<string> {
  const { keyboard, show, signal } = terminal
  signal.throwIfAborted()
  // First, so that an answer that comes at once is not shown either.
  keyboard.setRawMode(true)
  try {
    show(`${question}: `)
    return await readLine(keyboard, signal)
  } finally {
    keyboard.setRawMode(false)
    show('\n')
  }
}

/** Asks twice, so that a slip of the finger does not lock the tenant for ever. */
export async function askNewPassphrase(terminal: PromptTerminal, question: string): Promise<string> {
  for (let attempt = 1; attempt <= passphrasePromptsMax; attempt += 1) {
    const first = await askPassphrase(terminal, question)
    if (first === '') {
      terminal.show('An empty passphrase protects nothing.\n')
      continue
    }
    if ((await askPassphrase(terminal, 'Once more')) === first) return first
    terminal.show('The two are not the same.\n')
  }
  throw new StrataError('E_KEY_MISSING', `no passphrase after ${String(passphrasePromptsMax)} attempts`)
}

/** Asks for the lines of a recovery sheet, one after the other, and at once again for one that is not as it was printed. */
export async function askRecoveryKey(terminal: PromptTerminal): Promise<string> {
  const lines: string[] = []
  for (let number = 1; number <= recoveryLines; number += 1) {
    lines.push(await askRecoveryLine(terminal, number))
  }
  return lines.join('\n')
}

async function askRecoveryLine(terminal: PromptTerminal, number: number): Promise<string> {
  for (let attempt = 1; attempt <= passphrasePromptsMax; attempt += 1) {
    const line = await askPassphrase(terminal, `Recovery key, line ${String(number)} of ${String(recoveryLines)}`)
    const problem = recoveryLineProblem(line, number)
    if (problem === undefined) return line
    terminal.show(`Sorry, ${problem}.\n`)
  }
  throw new StrataError('E_RECOVERY_KEY', `line ${String(number)} was wrong ${String(passphrasePromptsMax)} times`)
}

const keys = { interrupt: '\u0003', end: '\u0004', eraseLine: '\u0015', backspace: '\b', delete: '\u007f' }

/** In raw mode the terminal edits nothing and makes no signals: both are done here. */
function readLine(keyboard: Keyboard, signal: AbortSignal): Promise<string> {
  return new Promise((resolve, reject) => {
    const decoder = new TextDecoder()
    let typed: string[] = []
    const finish = (rest: string, end: () => void): void => {
      keyboard.off('data', onData)
      signal.removeEventListener('abort', onAbort)
      keyboard.pause()
      if (rest !== '') keyboard.unshift(Buffer.from(rest))
      end()
    }
    const onData = (chunk: Buffer): void => {
      const characters = Array.from(decoder.decode(chunk, { stream: true }))
      for (const [index, character] of characters.entries()) {
        if (character === '\r' || character === '\n') {
          finish(characters.slice(index + 1).join(''), () => {
            resolve(typed.join(''))
          })
          return
        }
        if (character === keys.interrupt || character === keys.end) {
          finish('', () => {
            reject(refusalOf(character))
          })
          return
        }
        if (character === keys.eraseLine) typed = []
        else if (character === keys.backspace || character === keys.delete) typed.pop()
        else if (typed.length < passphraseBytesMax) typed.push(character)
      }
    }
    const onAbort = (): void => {
      finish('', () => {
        reject(toStrataError(signal.reason))
      })
    }
    signal.addEventListener('abort', onAbort)
    keyboard.on('data', onData)
    keyboard.resume()
  })
}

function refusalOf(key: string): StrataError {
  if (key === keys.interrupt) return new StrataError('E_INTERRUPTED', 'interrupted while the passphrase was asked for')
  return new StrataError('E_KEY_MISSING', 'no passphrase was typed')
}
