import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { lstat, mkdtemp, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import fc from 'fast-check'
import { systemClock } from '@strata/shared/clock.ts'
import { StrataError } from '@strata/shared/errors.ts'
import { addExtent, type DiskImage, type Extent, type ImageRead } from '@strata/workers/deliver/image/disk-image.ts'
import { NbdServer } from '@strata/workers/deliver/nbd/nbd-server.ts'
import { seededRandom } from '../fixtures/make-point.ts'
import { RawClient, u16, u32 } from './raw-client.ts'

/** The server's side of the protocol, word for word, and what becomes of clients that do not keep to it. */
const blockBytes = 4096
const zeroBlocks = new Set([2, 3, 4, 9])
const badBlock = 7
const bytes = Buffer.from(seededRandom('disk')(12 * blockBytes + 100))
for (const block of zeroBlocks) bytes.fill(0, block * blockBytes, (block + 1) * blockBytes)

let released = 0
let given = 0

/** A disk in memory, with parts of zeros and one that cannot be read. */
const image: DiskImage = {
  sizeBytes: bytes.length,
  blockBytes,
  read: async (offset, length): Promise<ImageRead> => {
    await Promise.resolve()
    const parts: ImageRead['parts'][number][] = []
    for (let at = offset; at < offset + length;) {
      const block = Math.floor(at / blockBytes)
      const end = Math.min((block + 1) * blockBytes, offset + length)
      if (block === badBlock) throw new StrataError('E_POINT_DAMAGED', 'a bad block')
      parts.push(zeroBlocks.has(block) ? { zeroBytes: end - at } : { bytes: bytes.subarray(at, end) })
      at = end
    }
    given += 1
    return {
      parts,
      heldBytes: length,
      release: () => {
        released += 1
      },
    }
  },
  extents: async (offset, length, countMax): Promise<Extent[]> => {
    await Promise.resolve()
    const extents: Extent[] = []
    for (let at = offset; at < offset + length;) {
      const block = Math.floor(at / blockBytes)
      const end = Math.min((block + 1) * blockBytes, offset + length)
      const isZero = zeroBlocks.has(block)
      if (extents.length === countMax && extents.at(-1)?.isZero !== isZero) break
      addExtent(extents, end - at, isZero)
      at = end
    }
    return extents
  },
}

const directory = await mkdtemp(join(tmpdir(), 'strata-test-nbd-'))
const socketPath = join(directory, 'nbd.sock')
const failures: string[] = []
const server = await NbdServer.start({
  exports: [
    { name: 'first', description: 'the first one', image },
    { name: 'second', description: 'the same again', image },
  ],
  tls: undefined,
  place: { socketPath },
  clock: systemClock,
  onError: ({ code }) => failures.push(code),
})
after(async () => {
  await server.close()
  await assert.rejects(stat(socketPath), { code: 'ENOENT' })
  await rm(directory, { recursive: true })
})

const invalid = 0x8000_0003
const unknownExport = 0x8000_0006
const unsupported = 0x8000_0001

test('the socket is for its user alone, and its address is a URI', async () => {
  assert.equal((await stat(socketPath)).mode & 0o777, 0o600)
  assert.equal(server.uri, `nbd+unix:///?socket=${socketPath}`)
  const again = { exports: [], tls: undefined, place: { socketPath }, clock: systemClock, onError: () => undefined }
  await assert.rejects(NbdServer.start(again), { code: 'E_CONFIGURATION', message: /EADDRINUSE/ })
})

test('a socket whose server was killed is in nobody’s way; what cannot be is said in words', async () => {
  const dead = join(directory, 'dead.sock')
  const script = `require('node:net').createServer().listen(process.argv[1], () => process.kill(process.pid, 'SIGKILL'))`
  spawnSync(process.execPath, ['-e', script, dead])
  assert.ok((await lstat(dead)).isSocket())
  const options = { exports: [], tls: undefined, clock: systemClock, onError: () => undefined }
  const second = await NbdServer.start({ ...options, place: { socketPath: dead } })
  await second.close()
  for (const [socketPath, why] of [
    [join(directory, 'x'.repeat(120)), /longer than 107 bytes/],
    [join(directory, 'no/such/place'), /there is no .*no\/such/],
    [directory, /EADDRINUSE/],
  ] as const) {
    await assert.rejects(NbdServer.start({ ...options, place: { socketPath } }), {
      code: 'E_CONFIGURATION',
      message: why,
    })
  }
})

test('options: exports are listed, described and opened; what is unknown or malformed is refused, and the talk goes on', async () => {
  await using client = await RawClient.greeted(socketPath)
  const list = await client.option(3)
  assert.deepEqual(
    list.map(({ data }) => data.toString('latin1', 4)),
    ['first', 'second', ''],
  )
  assert.deepEqual((await client.option(3, u32(1)))[0]?.type, invalid)
  assert.deepEqual((await client.option(99, u32(1)))[0]?.type, unsupported)
  const named = (name: string, ...infos: number[]): Buffer =>
    Buffer.concat([u32(name.length), Buffer.from(name), u16(infos.length), ...infos.map(u16)])
  assert.equal((await client.option(6, named('nosuch')))[0]?.type, unknownExport)
  assert.equal((await client.option(6, named('first').subarray(0, -1)))[0]?.type, invalid)
  assert.equal((await client.option(6, Buffer.concat([u32(0xffff_fff0), Buffer.from('x')])))[0]?.type, invalid)
  const infos = await client.option(6, named('second', 3, 1, 2, 77))
  assert.deepEqual(
    infos.map(({ type }) => type),
    [3, 3, 3, 3, 1],
  )
  const [size, name, description, sizes] = infos.map(({ data }) => data)
  assert.ok(size && name && description && sizes)
  assert.equal(size.readBigUInt64BE(2), BigInt(bytes.length))
  // HAS_FLAGS, READ_ONLY, CAN_MULTI_CONN.
  assert.equal(size.readUInt16BE(10), 1 | 2 | 256)
  assert.equal(name.toString('latin1', 2), 'second')
  assert.equal(description.toString('latin1', 2), 'the same again')
  assert.deepEqual(
    [2, 6, 10].map((at) => sizes.readUInt32BE(at)),
    [1, blockBytes, 32 * 2 ** 20],
  )
  assert.deepEqual(
    (await client.option(7, named(''))).map(({ type }) => type),
    [3, 1],
  )
  client.request(0, 0n, 10)
  assert.deepEqual((await client.simpleReply(10))?.data, bytes.subarray(0, 10))
})

test('options: contexts need structured replies, are chosen by their whole name, and for the export that is opened', async () => {
  await using client = await RawClient.greeted(socketPath)
  const asked = (...queries: string[]): Buffer =>
    Buffer.concat([
      u32(5),
      Buffer.from('first'),
      u32(queries.length),
      ...queries.flatMap((query) => [u32(query.length), Buffer.from(query)]),
    ])
  assert.equal((await client.option(10, asked('base:allocation')))[0]?.type, invalid)
  await client.option(8)
  for (const queries of [[], ['base:'], ['base:allocation'], ['x', 'base:']]) {
    const [context] = await client.option(9, asked(...queries))
    assert.equal(context?.data.toString('latin1', 4), 'base:allocation')
  }
  assert.deepEqual(
    (await client.option(9, asked('qemu:'))).map(({ type }) => type),
    [1],
  )
  assert.deepEqual(
    (await client.option(10, asked('base:'))).map(({ type }) => type),
    [1],
  )
  assert.deepEqual(
    (await client.option(10, asked('base:allocation'))).map(({ type }) => type),
    [4, 1],
  )
  // Another export is opened than the one that it was chosen for.
  assert.deepEqual(
    (await client.option(7, Buffer.concat([u32(6), Buffer.from('second'), u16(0)]))).map(({ type }) => type),
    [3, 1],
  )
  client.request(7, 0n, 10)
  assert.equal((await client.chunks())?.[0]?.type, 0x8001)
})

test('an old client opens by name, with and without the zeros behind the answer', async () => {
  for (const [flags, padding] of [
    [1, 124],
    [3, 0],
  ] as const) {
    await using client = await RawClient.greeted(socketPath, flags)
    client.send(Buffer.from('IHAVEOPT'), u32(1), u32(5), Buffer.from('first'))
    const answer = (await client.read(10 + padding)) ?? assert.fail()
    assert.equal(answer.readBigUInt64BE(0), BigInt(bytes.length))
    client.request(0, 5n, 3)
    assert.deepEqual((await client.simpleReply(3))?.data, bytes.subarray(5, 8))
  }
  await using client = await RawClient.greeted(socketPath)
  client.send(Buffer.from('IHAVEOPT'), u32(1), u32(6), Buffer.from('nosuch'))
  assert.equal(await client.read(1), undefined)
})

test('simple replies: the bytes, zeros among them, or an error', async () => {
  await using client = await RawClient.ready(socketPath)
  client.request(0, 100n, 6 * blockBytes, { cookie: 0xffff_ffff_ffff_ffffn })
  const reply = (await client.simpleReply(6 * blockBytes)) ?? assert.fail()
  assert.ok(reply.data.equals(bytes.subarray(100, 100 + 6 * blockBytes)))
  assert.equal(reply.cookie, 0xffff_ffff_ffff_ffffn)
  for (const [offset, length, error] of [
    [0n, 0, 22],
    [BigInt(bytes.length) - 1n, 2, 22],
    [BigInt(bytes.length), 1, 22],
    [2n ** 64n - 1n, 1, 22],
    [0n, 32 * 2 ** 20 + 1, 22],
    [BigInt(badBlock * blockBytes), 1, 5],
  ] as const) {
    client.request(0, offset, length)
    assert.equal((await client.simpleReply(0))?.error, error, `${String(offset)} ${String(length)}`)
  }
  assert.deepEqual(failures.splice(0), ['E_POINT_DAMAGED'])
  for (const [command, flags, error] of [
    [0, 4, 22],
    [0, 1, 22],
    [3, 0, 22],
    [4, 0, 1],
    [6, 0, 1],
    [7, 0, 22],
    [8, 0, 22],
    [77, 0, 22],
  ] as const) {
    client.request(command, 0n, 10, { flags })
    assert.equal((await client.simpleReply(0))?.error, error, `command ${String(command)}`)
  }
  // What is to be written is taken and thrown away, so that the next request is found.
  client.request(1, 0n, 5000)
  client.send(Buffer.alloc(5000, 0x25))
  assert.equal((await client.simpleReply(0))?.error, 1)
  client.request(0, 0n, 1)
  assert.equal((await client.simpleReply(1))?.error, 0)
})

test('structured replies: data and holes by turns, or one piece where the client wants it', async () => {
  await using client = await RawClient.ready(socketPath, { structured: true })
  client.request(0, 100n, 5 * blockBytes)
  const chunks = (await client.chunks()) ?? assert.fail()
  assert.deepEqual(
    chunks.map(({ type }) => type),
    [1, 2, 1],
  )
  const [first, hole, last] = chunks.map(({ payload }) => payload)
  assert.ok(first && hole && last)
  assert.equal(first.readBigUInt64BE(0), 100n)
  assert.ok(first.subarray(8).equals(bytes.subarray(100, 2 * blockBytes)))
  assert.deepEqual([hole.readBigUInt64BE(0), hole.readUInt32BE(8)], [BigInt(2 * blockBytes), 3 * blockBytes])
  assert.equal(last.readBigUInt64BE(0), BigInt(5 * blockBytes))
  assert.ok(last.subarray(8).equals(bytes.subarray(5 * blockBytes, 5 * blockBytes + 100)))
  client.request(0, 100n, 5 * blockBytes, { flags: 4 })
  const whole = (await client.chunks()) ?? assert.fail()
  assert.equal(whole.length, 1)
  assert.ok(whole[0]?.payload.subarray(8).equals(bytes.subarray(100, 100 + 5 * blockBytes)))
  client.request(0, BigInt(badBlock * blockBytes), 10)
  const [failure] = (await client.chunks()) ?? assert.fail()
  assert.deepEqual([failure?.type, failure?.payload.readUInt32BE(0)], [0x8001, 5])
  assert.equal(failure?.payload.toString('utf8', 6), 'a bad block')
  assert.deepEqual(failures.splice(0), ['E_POINT_DAMAGED'])
})

test('block status: extents of the range, one where one is wanted', async () => {
  await using client = await RawClient.ready(socketPath, { structured: true, allocation: true })
  const status = async (offset: number, length: number, flags = 0): Promise<number[][]> => {
    client.request(7, BigInt(offset), length, { flags })
    const [chunk] = (await client.chunks()) ?? assert.fail()
    assert.equal(chunk?.type, 5)
    const { payload } = chunk
    assert.equal(payload.readUInt32BE(0), 1)
    const count = (payload.length - 4) / 8
    return Array.from({ length: count }, (_, at) => [
      payload.readUInt32BE(4 + 8 * at),
      payload.readUInt32BE(8 + 8 * at),
    ])
  }
  assert.deepEqual(await status(0, bytes.length), [
    [2 * blockBytes, 0],
    [3 * blockBytes, 3],
    [4 * blockBytes, 0],
    [blockBytes, 3],
    [2 * blockBytes + 100, 0],
  ])
  assert.deepEqual(await status(blockBytes, 6 * blockBytes, 8), [[blockBytes, 0]])
  client.request(7, 0n, bytes.length + 1)
  assert.equal((await client.chunks())?.[0]?.payload.readUInt32BE(0), 22)
  client.request(7, 0n, 10, { flags: 1 })
  assert.equal((await client.chunks())?.[0]?.payload.readUInt32BE(0), 22)
})

test('requests that were sent together are all answered, each by its cookie, and then a farewell is heard', async () => {
  await using client = await RawClient.ready(socketPath)
  const count = 300
  for (let cookie = 0; cookie < count; cookie += 1) client.request(0, BigInt(cookie), 10, { cookie: BigInt(cookie) })
  client.request(2, 0n, 0)
  const seen = new Set<number>()
  for (let index = 0; index < count; index += 1) {
    const reply = (await client.simpleReply(10)) ?? assert.fail()
    const at = Number(reply.cookie)
    assert.ok(reply.data.equals(bytes.subarray(at, at + 10)))
    seen.add(at)
  }
  assert.equal(seen.size, count)
  assert.equal(await client.read(1), undefined)
})

test('who speaks no NBD is hung up on, and the others go on', async () => {
  await using good = await RawClient.ready(socketPath)
  const rude: ((client: RawClient) => void)[] = [
    (client) => {
      client.send(u32(0x8000_0003))
    },
    (client) => {
      client.send(u32(3), Buffer.from('IHAVEOPX'), u32(7), u32(0))
    },
    (client) => {
      client.send(u32(3), Buffer.from('IHAVEOPT'), u32(7), u32(0xffff_ffff))
    },
    (client) => {
      client.send(u32(3), Buffer.from('GET / HTTP/1.1\r\n\r\n'))
    },
  ]
  for (const act of rude) {
    await using client = await RawClient.connect(socketPath)
    await client.read(18)
    act(client)
    // An answer may come first.
    for (let left = 0; (await client.read(1)) !== undefined; left += 1) assert.ok(left < 100)
  }
  for (const magic of [0, 0x25609514]) {
    await using client = await RawClient.ready(socketPath)
    client.request(0, 0n, 1, { magic })
    assert.equal(await client.read(1), undefined)
  }
  await using tooLong = await RawClient.ready(socketPath)
  tooLong.request(1, 0n, 0xffff_ffff)
  assert.equal(await tooLong.read(1), undefined)
  good.request(0, 0n, 1)
  assert.equal((await good.simpleReply(1))?.error, 0)
})

test('who leaves in the middle of anything leaves nothing behind', async () => {
  for (let index = 0; index < 40; index += 1) {
    const client = await (index % 2 === 0 ? RawClient.ready(socketPath) : RawClient.greeted(socketPath))
    for (let request = 0; request < 20; request += 1) client.request(0, 0n, 5 * blockBytes)
    if (index % 3 === 0) client.send(Buffer.alloc(13))
    await client[Symbol.asyncDispose]()
  }
  for (let waited = 0; given !== released && waited < 100; waited += 1) await systemClock.sleep(20)
  assert.equal(given, released)
})

test('a word that comes in pieces is waited for, and nobody else waits for it', async () => {
  await using slow = await RawClient.ready(socketPath)
  await using other = await RawClient.ready(socketPath)
  slow.send(u32(0x25609513), u16(0))
  for (let time = 0; time < 5; time += 1) {
    await systemClock.sleep(5)
    other.request(0, 0n, 10)
    assert.equal((await other.simpleReply(10))?.error, 0)
  }
  slow.send(u16(0), Buffer.alloc(8, 1), Buffer.alloc(8), u32(10))
  assert.deepEqual((await slow.simpleReply(10))?.data, bytes.subarray(0, 10))
})

test('property: whatever a client sends, the server goes on and gives nothing that it should not', async () => {
  const anyBytes = fc.uint8Array({ maxLength: 200 })
  const option = fc.tuple(fc.integer({ min: 0, max: 12 }), anyBytes).map(([number, data]) => {
    return Buffer.concat([Buffer.from('IHAVEOPT'), u32(number), u32(data.length), data])
  })
  const request = fc
    .tuple(fc.nat(20), fc.nat(0xffff), fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }), fc.nat(100_000))
    .map(([command, flags, offset, length]) => {
      const head = Buffer.alloc(28)
      head.writeUInt32BE(0x25609513, 0)
      head.writeUInt16BE(flags, 4)
      head.writeUInt16BE(command, 6)
      head.writeBigUInt64BE(offset, 16)
      head.writeUInt32BE(length, 24)
      return head
    })
  const talk = fc.tuple(fc.boolean(), fc.array(fc.oneof(option, request, anyBytes), { maxLength: 8 }))
  await fc.assert(
    fc.asyncProperty(talk, async ([isReady, words]) => {
      await using client = await (isReady ? RawClient.ready(socketPath) : RawClient.greeted(socketPath))
      client.send(...words)
      await systemClock.sleep(1)
    }),
    { numRuns: 200 },
  )
  await using client = await RawClient.ready(socketPath)
  client.request(0, 0n, 100)
  assert.deepEqual((await client.simpleReply(100))?.data, bytes.subarray(0, 100))
  failures.splice(0)
})
