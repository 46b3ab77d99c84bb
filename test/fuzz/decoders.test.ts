import assert from 'node:assert/strict'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { test } from 'node:test'
import fc from 'fast-check'
import { isErrorCode, StrataError } from '@strata/shared/errors.ts'
import { documentBytesMax } from '@strata/shared/limits.ts'
import { fuzzing, nearly } from './mutate.ts'
import { fuzzTargets, type FuzzTarget } from './targets.ts'

/**
 * What reads bytes from a store may refuse them, by a code that says why, and nothing else: no crash, no memory or time
 * beyond what the bytes that are there call for.
 */
const { runs, seed } = fuzzing()
const refusals: readonly string[] = ['E_FORMAT_DAMAGED', 'E_FORMAT_NEWER', 'E_FORMAT_KIND', 'E_SEAL_BROKEN', 'E_LIMIT']

/** Whether it could be read; a refusal that is none of ours, or a bug, fails the test. */
function isRead(target: FuzzTarget, bytes: Uint8Array): boolean {
  try {
    target.read(bytes)
    return true
  } catch (error) {
    if (!(error instanceof StrataError)) throw error
    assert.ok(
      isErrorCode(error.code) && refusals.includes(error.code),
      `${target.name}: ${error.code}: ${error.message}`,
    )
    return false
  }
}

const targets = await fuzzTargets()
const parameters = { numRuns: runs, seed }

for (const target of targets) {
  test(`${target.name}: its examples are read`, () => {
    for (const example of target.examples) {
      // A box of another kind is among the examples, to be spliced with; it is refused.
      if (!isRead(target, example)) assert.notEqual(example, target.examples[0])
    }
  })

  test(`fuzz: ${target.name}: arbitrary bytes`, (t) => {
    t.diagnostic(`STRATA_FUZZ_SEED=${String(seed)} STRATA_FUZZ_RUNS=${String(runs)}`)
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
        isRead(target, bytes)
      }),
      { numRuns: Math.ceil(runs / 3), seed },
    )
  })

  test(`fuzz: ${target.name}: nearly right`, (t) => {
    t.diagnostic(`STRATA_FUZZ_SEED=${String(seed)} STRATA_FUZZ_RUNS=${String(runs)}`)
    fc.assert(
      fc.property(nearly(target.examples, target.repair), (bytes) => {
        isRead(target, bytes)
      }),
      parameters,
    )
  })
}

test('fuzz: any JSON in place of a document, and any value in place of a member', (t) => {
  t.diagnostic(`STRATA_FUZZ_SEED=${String(seed)} STRATA_FUZZ_RUNS=${String(runs)}`)
  const documents = targets.filter(({ name }) =>
    ['manifest', 'session', 'end of a session', 'endpoint', 'enrolment-token', 'claim', 'keys document'].includes(name),
  )
  const value = fc.oneof(
    fc.jsonValue(),
    fc.constantFrom<fc.JsonValue>(-1, 0, 0.5, 2 ** 53, 1e308, '', '\u0000', [], {}),
  )
  fc.assert(
    fc.property(fc.constantFrom(...documents), value, fc.nat(), (target, anything, which) => {
      isRead(target, Buffer.from(JSON.stringify(anything)))
      const document = JSON.parse(Buffer.from(target.examples[0] ?? []).toString('utf8')) as Record<string, unknown>
      const members = Object.keys(document)
      document[members[which % members.length] ?? ''] = anything
      isRead(target, Buffer.from(JSON.stringify(document)))
    }),
    parameters,
  )
})

test('documents that are nested without end are read or refused, not fatal', () => {
  const depth = 500_000
  for (const [open, close] of [
    ['[', ']'],
    ['{"a":', '}'],
  ] as const) {
    const nested = open.repeat(depth) + '1' + close.repeat(depth)
    for (const target of targets.filter(({ examples }) => examples[0]?.[0] === '{'.charCodeAt(0))) {
      const example = Buffer.from(target.examples[0] ?? []).toString('utf8')
      isRead(target, Buffer.from(nested))
      isRead(target, Buffer.from(`${example.slice(0, -1)},"more":${nested}}`))
    }
  }
})

// ── bounds ─────────────────────────────────────────────────────────────────────────────────────────────────────────

/** Memory of some reads, of buffers and of objects: this much, and so much for each byte that is really there. */
const readsMeasured = 100
const memoryBytesMax = 8 * 1024 * 1024
const memoryPerByteMax = 64

setFlagsFromString('--expose-gc')
const collectGarbage = runInNewContext('gc') as () => void

function memoryOf(work: () => void): number {
  collectGarbage()
  const before = process.memoryUsage()
  work()
  const after = process.memoryUsage()
  return after.arrayBuffers - before.arrayBuffers + Math.max(0, after.heapUsed - before.heapUsed)
}

/** Every field of every example set to a huge number, one after the other, with nothing behind it. */
function* hostile({ examples, repair }: FuzzTarget): Generator<Uint8Array> {
  for (const example of examples) {
    const small = example.length > 2000 ? example.subarray(0, 2000) : example
    const places = [...Array(Math.min(80, small.length)).keys()]
    const fromEnd = places.map((place) => small.length - 1 - place)
    for (const at of new Set([...places, ...fromEnd])) {
      for (const size of [2, 4, 8]) {
        const copy = Uint8Array.from(small)
        copy.fill(0xff, at, at + size)
        yield repair?.(copy) ?? copy
      }
    }
  }
}

for (const target of targets) {
  test(`${target.name}: numbers that promise gigabytes cost no memory`, () => {
    // Once before, so that what is made at the first call is not counted.
    for (const bytes of target.examples) isRead(target, bytes)
    const inputs = [...hostile(target)]
    for (let at = 0; at < inputs.length; at += readsMeasured) {
      const some = inputs.slice(at, at + readsMeasured)
      const bytes = some.reduce((sum, input) => sum + input.length, 0)
      const used = memoryOf(() => {
        for (const input of some) isRead(target, input)
      })
      const most = memoryBytesMax + memoryPerByteMax * bytes
      assert.ok(used <= most, `${String(used)} bytes of memory for ${String(bytes)} bytes of input`)
    }
  })
}

/** Each byte is looked at a few times at most: fields of DataViews that are read for each byte that is there. */
const fieldReadsMax = 200
const fieldReadsPerByteMax = 4

type FieldReader = 'getUint8' | 'getUint16' | 'getUint32' | 'getBigUint64'

/** How many fields are read while `work` runs: a measure of time that is the same on every machine. */
function fieldReadsOf(work: () => void): number {
  let reads = 0
  const prototype = DataView.prototype as unknown as Record<FieldReader, (...parameters: unknown[]) => unknown>
  const names: readonly FieldReader[] = ['getUint8', 'getUint16', 'getUint32', 'getBigUint64']
  const originals = names.map((name) => prototype[name])
  for (const [index, name] of names.entries()) {
    prototype[name] = function counted(this: DataView, ...given: unknown[]) {
      reads += 1
      return originals[index]?.apply(this, given)
    }
  }
  try {
    work()
  } finally {
    for (const [index, name] of names.entries()) {
      const original = originals[index]
      if (original !== undefined) prototype[name] = original
    }
  }
  return reads
}

for (const target of targets) {
  test(`${target.name}: numbers that promise gigabytes cost no time`, () => {
    for (const bytes of [...target.examples, ...hostile(target)]) {
      const reads = fieldReadsOf(() => isRead(target, bytes))
      assert.ok(
        reads <= fieldReadsMax + fieldReadsPerByteMax * bytes.length,
        `${String(reads)} fields were read of ${String(bytes.length)} bytes`,
      )
    }
  })
}

/** As long as a document may be, and all of it elements that are none. */
function longArrays(): string[] {
  return ['0', '""', '{}', '[]', 'null'].map((element) => {
    const count = Math.floor((documentBytesMax - 4096) / (element.length + 1))
    return `[${`${element},`.repeat(count - 1)}${element}]`
  })
}

/** CPU time against that of parsing the same text: a measure that is nearly the same on every machine. */
const timesParsingMax = 25
const parsingMsMin = 20

function cpuMsOf(work: () => void): number {
  const before = process.cpuUsage()
  work()
  const { user, system } = process.cpuUsage(before)
  return (user + system) / 1000
}

for (const target of targets.filter(({ examples }) => examples[0]?.[0] === '{'.charCodeAt(0))) {
  test(`${target.name}: a member of millions of elements costs little more than to parse it`, () => {
    const document = JSON.parse(Buffer.from(target.examples[0] ?? []).toString('utf8')) as Record<string, unknown>
    const arrays = Object.keys(document).filter((name) => Array.isArray(document[name]))
    for (const array of longArrays()) {
      // The last one is a member that nobody knows.
      for (const member of [...arrays, 'more']) {
        // Spliced into the text: as a value it would have to be made first.
        const text = JSON.stringify({ ...document, [member]: '*' }).replace('"*"', array)
        const bytes = Buffer.from(text)
        const parsingMs = cpuMsOf(() => JSON.parse(text) as unknown)
        let readMs = 0
        const used = memoryOf(() => {
          readMs = cpuMsOf(() => isRead(target, bytes))
        })
        const what = `${member}: ${array.slice(0, 10)}`
        assert.ok(used <= memoryBytesMax + memoryPerByteMax * bytes.length, `${what}: ${String(used)} bytes of memory`)
        const mostMs = timesParsingMax * Math.max(parsingMs, parsingMsMin)
        assert.ok(readMs <= mostMs, `${what}: ${String(readMs)} ms, and ${String(parsingMs)} ms to parse it`)
      }
    }
  })
}
