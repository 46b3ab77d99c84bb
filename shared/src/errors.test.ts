import assert from 'node:assert/strict'
import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import {
  errorCatalogue,
  errorFromDocument,
  hasCode,
  invariant,
  isErrorCode,
  StrataError,
  systemErrorCode,
  toStrataError,
} from './errors.ts'

const projectRoot = join(import.meta.dirname, '../..')
const document = readFileSync(join(projectRoot, 'docs/errors.md'), 'utf8')

/** The cells of every row of a table whose first cell is a code. */
function rows(prefix: 'E_' | 'W_'): string[][] {
  return document
    .split('\n')
    .filter((line) => line.startsWith(`| \`${prefix}`))
    .map((line) =>
      line
        .split('|')
        .slice(1, -1)
        .map((cell) => cell.trim().replaceAll('`', '')),
    )
}

test('docs/errors.md lists every code of the catalogue with its kind, and no other', () => {
  const documented = rows('E_').map(([code, kind]) => [code, kind])
  const catalogue = Object.entries(errorCatalogue).map(([code, { kind }]) => [code, kind])
  assert.deepEqual(documented.sort(), catalogue.sort(), 'correct docs/errors.md, or the catalogue in errors.ts')
})

test('docs/errors.md says of every code what it means and what to do', () => {
  for (const [code, , meaning, remedy] of rows('E_')) {
    assert.ok((meaning ?? '').length > 10 && (remedy ?? '').length > 2, code)
  }
})

test('docs/errors.md lists every warning that the code gives, and no other', () => {
  const files = globSync('{shared,agent,workers}/src/**/*.ts', {
    cwd: projectRoot,
    exclude: ['**/*.test.ts', '**/testing/**'],
  })
  assert.ok(files.length > 50)
  const given = new Set(
    files.flatMap((file) => readFileSync(join(projectRoot, file), 'utf8').match(/(?<=')W_[A-Z_]+(?=')/g) ?? []),
  )
  assert.deepEqual(
    rows('W_')
      .map(([code]) => code)
      .sort(),
    [...given].sort(),
    'correct the warnings in docs/errors.md',
  )
})

test('every hint is a sentence, and says something', () => {
  for (const [code, { hint }] of Object.entries(errorCatalogue)) assert.match(hint, /^\S.{15,}[.:]?.*$/, code)
})

test('an error has the kind and the hint of its code, unless the place knows a better one', () => {
  const error = new StrataError('E_STORE_BUSY', 'slow down')
  assert.deepEqual([error.kind, error.hint], ['transient', errorCatalogue.E_STORE_BUSY.hint])
  assert.equal(new StrataError('E_STORE_BUSY', 'slow down', { hint: 'wait an hour' }).hint, 'wait an hour')
  const cause = new Error('why')
  assert.equal(new StrataError('E_STORE_BUSY', 'slow down', { cause }).cause, cause)
  assert.equal(Object.hasOwn(new StrataError('E_STORE_BUSY', 'slow down', { cause: undefined }), 'cause'), false)
})

test('an error crosses a thread, a process or a queue whole, without its cause', () => {
  const error = new StrataError('E_SEGMENTS_MISSING', 'two are missing', {
    hint: 'run it again',
    details: { segments: [1, 2] },
    cause: new Error('secret'),
  })
  const text = JSON.stringify(error)
  assert.ok(!text.includes('secret'))
  const arrived = errorFromDocument(JSON.parse(text))
  assert.deepEqual(arrived.toJSON(), error.toJSON())
  assert.ok(arrived instanceof StrataError)
})

test('what arrives without a code is a bug, whatever it is', () => {
  const strange = [
    undefined,
    null,
    7,
    'E_USAGE',
    {},
    { code: 'E_NONE', message: 'm' },
    { code: 'E_USAGE' },
    { code: 'toString', message: 'm' },
  ]
  for (const one of strange) assert.equal(errorFromDocument(one).code, 'E_BUG')
})

test('codes are told from other words', () => {
  assert.equal(isErrorCode('E_BUG'), true)
  for (const word of ['E_NONE', 'constructor', '__proto__', '', 7, null]) assert.equal(isErrorCode(word), false)
  const error: unknown = new StrataError('E_USAGE', 'm')
  assert.equal(hasCode(error, 'E_BUG', 'E_USAGE'), true)
  assert.equal(hasCode(error, 'E_BUG'), false)
  assert.equal(hasCode({ code: 'E_USAGE' }, 'E_USAGE'), false)
})

test('anything thrown gets a code, and a StrataError keeps its own', () => {
  const own = new StrataError('E_USAGE', 'm')
  assert.equal(toStrataError(own), own)
  const cause = new TypeError('x is not a function')
  const wrapped = toStrataError(cause)
  assert.deepEqual([wrapped.code, wrapped.message, wrapped.cause], ['E_BUG', 'x is not a function', cause])
  assert.equal(toStrataError('thrown text').message, 'thrown text')
})

test('an invariant that does not hold is a bug', () => {
  invariant(true, 'holds')
  assert.throws(
    () => {
      invariant(false, 'does not hold')
    },
    { code: 'E_BUG', kind: 'bug', message: 'does not hold' },
  )
})

test("the system's own codes are read where there are any", () => {
  assert.equal(systemErrorCode(Object.assign(new Error('m'), { code: 'ENOENT' })), 'ENOENT')
  for (const other of [undefined, null, 'ENOENT', new Error('m'), { code: 7 }])
    assert.equal(systemErrorCode(other), undefined)
})
