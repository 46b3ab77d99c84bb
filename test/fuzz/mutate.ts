import fc from 'fast-check'

/**
 * Bytes that are nearly right: valid encodings with something wrong in them. Arbitrary bytes seldom get past the first
 * check; these do.
 */
export interface Fuzzing {
  /** Runs of each property; STRATA_FUZZ_RUNS asks for more (or fewer). */
  readonly runs: number
  /** STRATA_FUZZ_SEED repeats a run. */
  readonly seed: number
}

const runsDefault = 1500

export function fuzzing(env: Readonly<Record<string, string | undefined>> = process.env): Fuzzing {
  return {
    runs: numberFrom(env['STRATA_FUZZ_RUNS']) ?? runsDefault,
    seed: numberFrom(env['STRATA_FUZZ_SEED']) ?? Date.now() & 0x7fff_ffff,
  }
}

function numberFrom(text: string | undefined): number | undefined {
  if (text === undefined) return undefined
  if (!/^[0-9]{1,9}$/.test(text)) throw new Error(`'${text}' is no number of runs and no seed`)
  return Number(text)
}

type Mutation = (bytes: Uint8Array) => Uint8Array

/** Numbers that lengths and counts go wrong with, and limits of the format with their neighbours. */
const interesting = [
  ...[0, 1, 2, 0x7f, 0x80, 0xff, 0x100, 0x7fff, 0xffff, 0x1_0000, 0x7fff_ffff, 0x8000_0000, 0xffff_fffe, 0xffff_ffff],
  ...[63, 64, 65, 1023, 1024, 1025, 4096, 4097, 8192, 8193, 2 ** 22, 2 ** 22 + 1, 2 ** 26, 64 * 2 ** 20 + 1],
]

/** The bytes of `examples` with one to six things done to them; `repair` is applied to some of them at the end. */
export function nearly(examples: readonly Uint8Array[], repair?: Mutation): fc.Arbitrary<Uint8Array> {
  const example = fc.constantFrom(...examples)
  const place = fc.nat(2 ** 20)
  const flip = fc.tuple(place, fc.nat(7)).map(([at, bit]) =>
    changing((bytes) => {
      change(bytes, at, (byte) => byte ^ (1 << bit))
    }),
  )
  const set = fc.tuple(place, fc.nat(255)).map(([at, value]) =>
    changing((bytes) => {
      change(bytes, at, () => value)
    }),
  )
  const number = fc
    .tuple(place, fc.constantFrom(...interesting), fc.constantFrom(1, 2, 4, 8))
    .map(([at, value, size]) =>
      changing((bytes) => {
        writeNumber(bytes, at, value, size)
      }),
    )
  const cut = place.map(
    (at): Mutation =>
      (bytes) =>
        bytes.slice(0, at % (bytes.length + 1)),
  )
  const cutFront = place.map(
    (at): Mutation =>
      (bytes) =>
        bytes.slice(at % (bytes.length + 1)),
  )
  const extend = fc.uint8Array({ maxLength: 100 }).map(
    (more): Mutation =>
      (bytes) =>
        Buffer.concat([bytes, more]),
  )
  const erase = fc.tuple(place, fc.nat(200)).map(([at, count]): Mutation => (bytes) => {
    const from = at % (bytes.length + 1)
    return Buffer.concat([bytes.subarray(0, from), bytes.subarray(from + count)])
  })
  const repeat = fc.tuple(place, fc.nat(200)).map(([at, count]): Mutation => (bytes) => {
    const from = at % (bytes.length + 1)
    return Buffer.concat([bytes.subarray(0, from + count), bytes.subarray(from)])
  })
  const splice = fc.tuple(example, place, place).map(([other, at, from]): Mutation => (bytes) => {
    return Buffer.concat([bytes.subarray(0, at % (bytes.length + 1)), other.subarray(from % (other.length + 1))])
  })
  const mutation = fc.oneof(flip, set, number, number, cut, cutFront, extend, erase, repeat, splice)
  return fc
    .tuple(example, fc.array(mutation, { minLength: 1, maxLength: 6 }), fc.boolean())
    .map(([bytes, mutations, repaired]) => {
      const mutated = mutations.reduce((changed, mutate) => mutate(changed), bytes)
      return Uint8Array.from(repaired && repair !== undefined ? repair(mutated) : mutated)
    })
}

function changing(mutate: (copy: Uint8Array) => void): Mutation {
  return (bytes) => {
    const copy = Uint8Array.from(bytes)
    if (copy.length > 0) mutate(copy)
    return copy
  }
}

function change(bytes: Uint8Array, at: number, to: (byte: number) => number): void {
  bytes[at % bytes.length] = to(bytes[at % bytes.length] ?? 0)
}

/** Little-endian, mostly where fields lie: at even offsets. */
function writeNumber(bytes: Uint8Array, at: number, value: number, size: number): void {
  const start = (at % bytes.length) & ~1
  for (let index = 0; index < size && start + index < bytes.length; index += 1) {
    bytes[start + index] = Number((BigInt(value) >> BigInt(8 * index)) & 0xffn)
  }
}
