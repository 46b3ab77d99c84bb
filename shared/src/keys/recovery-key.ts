import { invariant, StrataError } from '../errors.ts'
import { concatBytes, equalBytes } from '../format/bytes.ts'
import { keyBytes } from '../format/xaes.ts'

/**
 * The secret of a recovery sheet as people copy it from paper: 32 bytes in four lines of sixteen characters. Each line
 * ends with a checksum of its own bytes and its number, so that a slip is found where it is: for certain when one
 * character is wrong or two neighbours changed places. docs/format.md, "Recovery sheet".
 */
export const recoveryLines = 4
const lineBytes = keyBytes / recoveryLines
const checksumBytes = 2
const bitsPerCharacter = 5
const charactersPerLine = (8 * (lineBytes + checksumBytes)) / bitsPerCharacter
const charactersPerGroup = 4
/** Crockford's base32: no letter that looks like a digit, and no U. */
const alphabet = '0123456789ABCDEFGHJKMNPQRSTVWXYZ'
const lookAlikes: Readonly<Record<string, string>> = { I: '1', L: '1', O: '0' }
/** CRC-16 as in X.25, with the highest bit first. */
const crcPolynomial = 0x1021
const crcStart = 0xffff
invariant(Number.isInteger(charactersPerLine), 'a line has no loose bits')

/** The lines to be printed: `XXXX-XXXX-XXXX-XXXX`. */
export function recoveryKeyLines(key: Uint8Array): string[] {
  invariant(key.length === keyBytes, `a recovery key has ${String(keyBytes)} bytes`)
  return Array.from({ length: recoveryLines }, (_, index) => {
    const bytes = key.subarray(index * lineBytes, (index + 1) * lineBytes)
    const characters = toBase32(concatBytes([bytes, checksumOf(index + 1, bytes)]))
    return (characters.match(new RegExp(`.{${String(charactersPerGroup)}}`, 'g')) ?? []).join('-')
  })
}

/**
 * Reads what was copied from a sheet: the four lines one after the other, each with its number before it or not, in
 * capitals or not, with any dashes and spaces. E_RECOVERY_KEY names the lines that are wrong, and never what is in them.
 */
export function parseRecoveryKey(text: string): Uint8Array {
  const lines = linesOf(text)
  const problems = lines.flatMap((line, index) => recoveryLineProblem(line, index + 1) ?? [])
  if (lines.length !== recoveryLines) {
    throw new StrataError(
      'E_RECOVERY_KEY',
      `a recovery key has ${String(recoveryLines)} lines of ${String(charactersPerLine)} characters, and not ${String(lines.length)}`,
    )
  }
  if (problems.length > 0) throw new StrataError('E_RECOVERY_KEY', `the recovery key: ${problems.join('; ')}`)
  return concatBytes(lines.map((line) => fromBase32(charactersOf(line)).subarray(0, lineBytes)))
}

/** What is wrong with a line, in words for whoever typed it; undefined: nothing. @param number from 1 */
export function recoveryLineProblem(text: string, number: number): string | undefined {
  const characters = charactersOf(text)
  const line = `line ${String(number)}`
  const foreign = Array.from(characters).findIndex((character) => !alphabet.includes(character))
  if (foreign >= 0) return `${line} has a character at place ${String(foreign + 1)} that no sheet has`
  const count = characters.length
  if (count !== charactersPerLine)
    return `${line} has ${String(count)} characters, and not ${String(charactersPerLine)}`
  const bytes = fromBase32(characters)
  const isRight = equalBytes(bytes.subarray(lineBytes), checksumOf(number, bytes.subarray(0, lineBytes)))
  return isRight ? undefined : `${line} has a slip in it, or is not line ${String(number)}`
}

/** As they were typed, or, where all stands in one line, by their lengths. */
function linesOf(text: string): string[] {
  const typed = text.split(/[\n,;]/).filter((line) => line.trim() !== '')
  const [only = ''] = typed
  if (typed.length !== 1) return typed
  return charactersOf(only).match(new RegExp(`.{1,${String(charactersPerLine)}}`, 'g')) ?? []
}

/** Without the line's number (`1:`), dashes and spaces; what looks like a digit is one. */
function charactersOf(text: string): string {
  const bare = text.replace(/^\s*\d\s*[:.)]/, '').replace(/[\s\p{Dash}]/gu, '')
  return Array.from(bare.toUpperCase(), (character) => lookAlikes[character] ?? character).join('')
}

function checksumOf(number: number, bytes: Uint8Array): Uint8Array {
  let crc = crcStart
  for (const byte of [number, ...bytes]) {
    crc ^= byte << 8
    for (let bit = 0; bit < 8; bit += 1) crc = ((crc << 1) ^ ((crc & 0x8000) === 0 ? 0 : crcPolynomial)) & 0xffff
  }
  return Uint8Array.of(crc >> 8, crc & 0xff)
}

/** Five bits a character, the highest first. */
function toBase32(bytes: Uint8Array): string {
  const value = BigInt(`0x${Buffer.from(bytes).toString('hex')}`)
  const digits = value.toString(alphabet.length).padStart(charactersPerLine, '0')
  return Array.from(digits, (digit) => alphabet[parseInt(digit, alphabet.length)] ?? '').join('')
}

function fromBase32(characters: string): Uint8Array {
  let value = 0n
  for (const character of characters) value = (value << BigInt(bitsPerCharacter)) | BigInt(alphabet.indexOf(character))
  const digits = value.toString(16).padStart(2 * (lineBytes + checksumBytes), '0')
  return new Uint8Array(Buffer.from(digits, 'hex'))
}
