import assert from 'node:assert/strict'
import { EventEmitter } from 'node:events'
import { test } from 'node:test'
import { hasCode, StrataError } from '@strata/shared/errors.ts'
import { parseRecoveryKey, recoveryKeyLines } from '@strata/shared/keys/recovery-key.ts'
import { passphrasePromptsMax } from '@strata/shared/limits.ts'
import { askNewPassphrase, askPassphrase, askRecoveryKey, type Keyboard, type PromptTerminal } from './prompt.ts'

/** Types the next chunk whenever somebody begins to listen. */
class TypedKeyboard extends EventEmitter<{ data: [Buffer] }> implements Keyboard {
  readonly isTTY = true
  raw = false
  readonly #chunks: (readonly Uint8Array[])[]

  constructor(lines: readonly (string | readonly Uint8Array[])[]) {
    super()
    this.#chunks = lines.map((line) => (typeof line === 'string' ? [Buffer.from(line)] : line))
  }
  setRawMode(raw: boolean): void {
    this.raw = raw
  }
  resume(): void {
    for (const chunk of this.#chunks.shift() ?? []) this.emit('data', Buffer.from(chunk))
  }
  unshift(chunk: Buffer): void {
    this.#chunks.unshift([chunk])
  }
  pause(): void {
    assert.equal(this.listenerCount('data'), 0)
  }
}

function terminal(
  ...lines: (string | readonly Uint8Array[])[]
): PromptTerminal & { shown: string; keyboard: TypedKeyboard } {
  const result = {
    keyboard: new TypedKeyboard(lines),
    signal: new AbortController().signal,
    shown: '',
    show: (text: string): void => {
      result.shown += text
    },
  }
  return result
}

test('a passphrase is read in raw mode, edited, and never shown', async () => {
  const at = terminal('wrong\u0015secrex\u007ft\r')
  assert.equal(await askPassphrase(at, 'Passphrase'), 'secret')
  assert.equal(at.shown, 'Passphrase: \n')
  assert.equal(at.keyboard.raw, false)
})

test('a character that comes in two pieces is one character', async () => {
  const bytes = Buffer.from('ü\r')
  assert.equal(await askPassphrase(terminal([bytes.subarray(0, 1), bytes.subarray(1)]), 'Passphrase'), 'ü')
})

test('what is typed ahead answers the next question', async () => {
  assert.equal(await askNewPassphrase(terminal('secret\rsecret\r'), 'New'), 'secret')
})

test('Ctrl-C interrupts, Ctrl-D gives nothing; the terminal is itself again', async () => {
  for (const [key, code] of [
    ['\u0003', 'E_INTERRUPTED'],
    ['\u0004', 'E_KEY_MISSING'],
  ] as const) {
    const at = terminal(`sec${key}`)
    await assert.rejects(askPassphrase(at, 'Passphrase'), (error) => hasCode(error, code))
    assert.equal(at.keyboard.raw, false)
  }
})

test('a signal ends a question that nobody answers', async () => {
  const stop = new AbortController()
  const at = { ...terminal('sec'), signal: stop.signal }
  const asked = askPassphrase(at, 'Passphrase')
  assert.equal(at.keyboard.raw, true)
  stop.abort(new StrataError('E_INTERRUPTED', 'SIGTERM'))
  await assert.rejects(asked, (error) => hasCode(error, 'E_INTERRUPTED'))
  assert.equal(at.keyboard.raw, false)
  await assert.rejects(askPassphrase(at, 'Passphrase'), (error) => hasCode(error, 'E_INTERRUPTED'))
})

test('a new passphrase is asked for twice, and again when the two differ or are empty', async () => {
  assert.equal(await askNewPassphrase(terminal('one\r', 'two\r', '\r', 'three\r', 'three\r'), 'New'), 'three')
  await assert.rejects(askNewPassphrase(terminal('\r', '\r', 'a\r', 'b\r'), 'New'), (error) =>
    hasCode(error, 'E_KEY_MISSING'),
  )
})

test('a recovery key is asked for line by line, and a line with a slip at once again', async () => {
  const [first = '', second = '', third = '', fourth = ''] = recoveryKeyLines(new Uint8Array(32).fill(7))
  const slip = terminal(`${first}\r`, `${first}\r`, `${second.toLowerCase()}\r`, `${third}\r`, `${fourth}\r`)
  assert.deepEqual([...parseRecoveryKey(await askRecoveryKey(slip))], Array<number>(32).fill(7))
  assert.match(slip.shown, /line 2 of 4: \nSorry, line 2 has a slip in it, or is not line 2\.\n/)
  assert.ok(!slip.shown.includes(first))
  const wrong = terminal(...Array<string>(passphrasePromptsMax).fill('nothing\r'))
  await assert.rejects(askRecoveryKey(wrong), (error) => hasCode(error, 'E_RECOVERY_KEY'))
})
