import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { hasCode } from '../errors.ts'
import { parseRecoveryKey, recoveryKeyLines, recoveryLineProblem } from './recovery-key.ts'

const key = Uint8Array.from({ length: 32 }, (_, index) => (index * 37 + 11) % 256)
const lines = recoveryKeyLines(key)

test('the lines of docs/format.md', () => {
  assert.deepEqual(recoveryKeyLines(Uint8Array.from({ length: 32 }, (_, index) => index)), [
    '000G-40R4-0M30-FNF2',
    '104G-M2RC-1M70-YQKX',
    '208H-44RM-2MB1-EKGJ',
    '30CH-M6RW-3MF1-YPB2',
  ])
})

test('property: every key comes back from its lines, however they are typed', () => {
  const ways: readonly ((lines: readonly string[]) => string)[] = [
    (given) => given.join('\n'),
    (given) => given.join(' ').toLowerCase(),
    (given) => given.map((line, index) => ` ${String(index + 1)}: ${line} `).join('\r\n'),
    (given) => given.join('').replaceAll('-', ''),
    (given) => given.map((line) => line.replaceAll('0', 'o').replaceAll('1', 'l').replaceAll('-', '\u2013')).join(','),
  ]
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 32, maxLength: 32 }), fc.constantFrom(...ways), (bytes, typed) => {
      assert.deepEqual([...parseRecoveryKey(typed(recoveryKeyLines(bytes)))], [...bytes])
    }),
  )
})

test('property: one wrong character is found in its line, and two lines that changed places', () => {
  const alphabet = Array.from('0123456789ABCDEFGHJKMNPQRSTVWXYZ')
  fc.assert(
    fc.property(fc.nat(3), fc.nat(18), fc.constantFrom(...alphabet), (line, place, character) => {
      const changed = Array.from(lines[line] ?? '')
      if (changed[place] === '-' || changed[place] === character) return
      changed[place] = character
      const typed = lines.with(line, changed.join('')).join('\n')
      assert.throws(
        () => parseRecoveryKey(typed),
        refusing(new RegExp(`^the recovery key: line ${String(line + 1)} has a slip[^;]*$`)),
      )
    }),
  )
  const [first = '', second = '', third = '', fourth = ''] = lines
  assert.throws(() => parseRecoveryKey([second, first, third, fourth].join('\n')), refusing(/line 1 .*; line 2 /))
})

test('what is too short, too long, foreign or missing is said with its line', () => {
  const [first = '', second = '', third = '', fourth = ''] = lines
  const cases: readonly (readonly [string, RegExp])[] = [
    [[first, second.slice(0, -2), third, fourth].join('\n'), /line 2 has 14 characters, and not 16$/],
    [[first, second, `${third}A`, fourth].join('\n'), /line 3 has 17 characters, and not 16$/],
    [[first, second, third, `U${fourth.slice(1)}`].join('\n'), /line 4 has a character at place 1 /],
    [[first, second, third].join('\n'), /4 lines of 16 characters, and not 3$/],
    ['', /and not 0$/],
  ]
  for (const [typed, message] of cases) assert.throws(() => parseRecoveryKey(typed), refusing(message))
  assert.equal(recoveryLineProblem(first, 1), undefined)
})

test('messages hold nothing of the key', () => {
  const typed = lines.with(1, 'ABCD-ABCD-ABCD-ABCD').join('\n')
  assert.throws(
    () => parseRecoveryKey(typed),
    (error) => {
      assert.ok(hasCode(error, 'E_RECOVERY_KEY'))
      for (const group of typed.split(/[-\n]/)) assert.ok(!JSON.stringify(error).includes(group))
      return true
    },
  )
})

function refusing(message: RegExp): (error: unknown) => boolean {
  return (error) => {
    assert.ok(hasCode(error, 'E_RECOVERY_KEY'), String(error))
    assert.match(error.message, message)
    return true
  }
}
