import assert from 'node:assert/strict'
import { test } from 'node:test'
import { factLines, tableLines } from './table.ts'

test('columns stand below each other, numbers on the right', () => {
  const lines = tableLines(
    [{ title: 'SET' }, { title: 'SIZE', align: 'right' }, { title: 'STATE' }],
    [
      ['web-1', '1.0 GiB', 'complete'],
      ['日本', '512 B', ''],
    ],
  )
  assert.deepEqual(lines, ['SET       SIZE  STATE', 'web-1  1.0 GiB  complete', '日本     512 B'])
})

test('a cell cannot break out of its line', () => {
  const lines = tableLines([{ title: 'SET' }], [['evil\nPOINT forged\u001b[1A']])
  assert.deepEqual(lines, ['SET', 'evil\\nPOINT forged\\x1b[1A'])
})

test('facts', () => {
  const lines = factLines([
    ['point', 'abc'],
    ['time', '\u001b[31m'],
  ])
  assert.deepEqual(lines, ['point  abc', 'time   \\x1b[31m'])
})
