/**
 * Bytes put together by hand, for tests that compare what a codec writes with the tables of docs/format.md. It shares
 * nothing with the codecs: an offset that moved there does not move here.
 */
export function u8(value: number): Uint8Array {
  return littleEndian(BigInt(value), 1)
}

export function u16(value: number): Uint8Array {
  return littleEndian(BigInt(value), 2)
}

export function u32(value: number): Uint8Array {
  return littleEndian(BigInt(value), 4)
}

export function u64(value: number): Uint8Array {
  return littleEndian(BigInt(value), 8)
}

function littleEndian(value: bigint, byteCount: number): Uint8Array {
  return Uint8Array.from({ length: byteCount }, (_, index) => Number((value >> BigInt(8 * index)) & 0xffn))
}

export function ascii(text: string): Uint8Array {
  return Buffer.from(text, 'latin1')
}

export function hexBytes(text: string): Uint8Array {
  return new Uint8Array(Buffer.from(text, 'hex'))
}

export function toHex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex')
}

/** `count` bytes that are all different from their neighbours: `first`, `first + 1`, … */
export function ramp(first: number, count: number): Uint8Array {
  return Uint8Array.from({ length: count }, (_, index) => (first + index) & 0xff)
}

export function joined(...parts: readonly Uint8Array[]): Uint8Array {
  return new Uint8Array(Buffer.concat(parts))
}

/** A copy with `replacement` at `offset`. */
export function patched(bytes: Uint8Array, offset: number, replacement: Uint8Array): Uint8Array {
  const copy = Uint8Array.from(bytes)
  copy.set(replacement, offset)
  return copy
}
