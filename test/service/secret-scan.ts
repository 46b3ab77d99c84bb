import assert from 'node:assert/strict'

/**
 * Looks for secrets in whatever a run has left behind or shown: as they are, and in the forms in which bytes come into
 * texts. A finding names the secret and the place, and never repeats the secret.
 */
export class SecretScan {
  readonly #needles = new Map<number, Needle[]>()
  /** One bit for each three bytes that a needle begins with: nearly every place is passed over by it. */
  readonly #beginnings = new Uint8Array(2 ** (24 - 3))
  readonly #known = new Set<string>()
  #looked = 0

  /** So many bytes were looked through. */
  get lookedBytes(): number {
    return this.#looked
  }

  get secrets(): number {
    return this.#known.size
  }

  /** Bytes that nobody may find: raw, or written as hex digits or in base64. */
  addBytes(what: string, bytes: Uint8Array): void {
    if (!this.#isNew(bytes)) return
    const raw = Buffer.from(bytes)
    this.#add(what, 'raw', raw)
    const hex = raw.toString('hex')
    this.#add(what, 'hex', Buffer.from(hex))
    this.#add(what, 'hex', Buffer.from(hex.toUpperCase()))
    this.#addBase64(what, raw)
  }

  /** A text that nobody may find, in UTF-8 or UTF-16 or in base64. */
  addText(what: string, text: string): void {
    const utf8 = Buffer.from(text, 'utf8')
    if (!this.#isNew(utf8)) return
    this.#add(what, 'UTF-8', utf8)
    this.#add(what, 'UTF-16', Buffer.from(text, 'utf16le'))
    this.#add(what, 'hex', Buffer.from(utf8.toString('hex')))
    this.#addBase64(what, utf8)
  }

  look(where: string, bytes: Uint8Array): Finding[] {
    this.#looked += bytes.length
    const findings = new Map<string, Finding>()
    let three = 0
    for (let end = 0; end < bytes.length; end += 1) {
      three = ((three << 8) | (bytes[end] ?? 0)) & 0xffffff
      if (((this.#beginnings[three >> 3] ?? 0) & (1 << (three & 7))) === 0 || end < beginBytes - 1) continue
      for (const needle of this.#needles.get(three) ?? []) {
        if (!beginsAt(bytes, end - beginBytes + 1, needle.bytes)) continue
        const { what, form } = needle
        findings.set(`${what} ${form}`, { what, form, where, offset: end - beginBytes + 1 })
      }
    }
    return [...findings.values()]
  }

  #isNew(bytes: Uint8Array): boolean {
    // Fewer might be anywhere by chance.
    assert.ok(bytes.length >= needleBytesMin, `a secret of ${String(bytes.length)} bytes is too short to be looked for`)
    const key = Buffer.from(bytes).toString('latin1')
    if (this.#known.has(key)) return false
    this.#known.add(key)
    return true
  }

  #add(what: string, form: string, bytes: Buffer): void {
    const three = bytes.readUIntBE(0, beginBytes)
    this.#beginnings[three >> 3] = (this.#beginnings[three >> 3] ?? 0) | (1 << (three & 7))
    const needle = { what, form, bytes }
    const others = this.#needles.get(three)
    if (others === undefined) this.#needles.set(three, [needle])
    else others.push(needle)
  }

  /** It may begin at any byte of what was encoded; the characters at its ends hold bits of its neighbours. */
  #addBase64(what: string, bytes: Buffer): void {
    for (const before of [0, 1, 2]) {
      const text = Buffer.concat([Buffer.alloc(before), bytes]).toString('base64')
      const own = text.slice(Math.ceil((before * 8) / 6), Math.floor(((before + bytes.length) * 8) / 6))
      const urlForm = own.replaceAll('+', '-').replaceAll('/', '_')
      this.#add(what, 'base64', Buffer.from(own))
      if (urlForm !== own) this.#add(what, 'base64url', Buffer.from(urlForm))
    }
  }
}

export interface Finding {
  readonly what: string
  readonly form: string
  readonly where: string
  readonly offset: number
}

interface Needle {
  readonly what: string
  readonly form: string
  readonly bytes: Buffer
}

const beginBytes = 3
export const needleBytesMin = 12

function beginsAt(bytes: Uint8Array, offset: number, needle: Buffer): boolean {
  return needle.equals(bytes.subarray(offset, offset + needle.length))
}
