import assert from 'node:assert/strict'
import { test } from 'node:test'
import { StrataError } from '@strata/shared/errors.ts'
import { errorLines } from './errors.ts'
import { styleFor } from './style.ts'

const plain = styleFor({ isTTY: false }, {})

test('code, message and hint; the cause only when asked for', () => {
  const error = new StrataError('E_STORE_FULL', 'no space', { hint: 'make some', cause: new Error('ENOSPC') })
  assert.deepEqual(errorLines(error, plain, false), ['strata: E_STORE_FULL: no space', '  → make some'])
  assert.deepEqual(errorLines(error, plain, true), [
    'strata: E_STORE_FULL: no space',
    '  → make some',
    '  caused by Error: ENOSPC',
  ])
})

test('a bug brings its stack along, so that it can be reported', () => {
  const lines = errorLines(new StrataError('E_BUG', 'broken'), plain, false)
  assert.ok(lines.some((line) => line.includes('errors.test.ts')))
})

test('a log is told line by line, and nothing in it can forge another', () => {
  const error = new StrataError('E_WORKER_DIED', 'it\nended', {
    hint: 'look',
    details: { log: ['one', '\u001b[2Jtwo'] },
  })
  assert.deepEqual(errorLines(error, plain, false), [
    'strata: E_WORKER_DIED: it\\nended',
    '  | one',
    '  | \\x1b[2Jtwo',
    '  → look',
  ])
})

test('colours are for terminals, and only where they are wanted', () => {
  assert.notEqual(styleFor({ isTTY: true }, {}).bad('x'), 'x')
  assert.equal(styleFor({ isTTY: true }, { NO_COLOR: '1' }).bad('x'), 'x')
  assert.notEqual(styleFor({ isTTY: true }, { NO_COLOR: '' }).bad('x'), 'x')
  assert.equal(styleFor({ isTTY: true }, { TERM: 'dumb' }).bad('x'), 'x')
  assert.equal(styleFor({ isTTY: false }, {}).bad('x'), 'x')
})
