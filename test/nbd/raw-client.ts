import assert from 'node:assert/strict'
import { connect, type Socket } from 'node:net'

/**
 * A client of NBD that says exactly what a test wants, written from the protocol's description and sharing nothing with the
 * server. Also for what no honest client says.
 */
export class RawClient implements AsyncDisposable {
  readonly #socket: Socket
  #ended = false
  #sizeBytes = 0
  #wake: () => void = () => undefined

  private constructor(socket: Socket) {
    this.#socket = socket
    const end = (): void => {
      this.#ended = true
      this.#wake()
    }
    socket.on('readable', () => {
      this.#wake()
    })
    socket.on('end', end)
    socket.on('close', end)
    socket.on('error', end)
  }

  static async connect(path: string): Promise<RawClient> {
    const socket = connect(path)
    await new Promise((resolve, reject) => {
      socket.once('connect', resolve)
      socket.once('error', reject)
    })
    return new RawClient(socket)
  }

  /** With the handshake's first words said, and these flags. */
  static async greeted(path: string, flags = 3): Promise<RawClient> {
    const client = await RawClient.connect(path)
    assert.equal((await client.read(18))?.toString('latin1', 0, 16), 'NBDMAGICIHAVEOPT')
    client.send(u32(flags))
    return client
  }

  /** Ready for requests, to the default export. */
  static async ready(path: string, { structured = false, allocation = false } = {}): Promise<RawClient> {
    const client = await RawClient.greeted(path)
    if (structured) assert.deepEqual(await client.option(8), [{ type: 1, data: Buffer.alloc(0) }])
    if (allocation) {
      const query = Buffer.from('base:allocation')
      const replies = await client.option(10, Buffer.concat([u32(0), u32(1), u32(query.length), query]))
      assert.deepEqual(
        replies.map(({ type }) => type),
        [4, 1],
      )
    }
    const replies = await client.option(7, Buffer.concat([u32(0), u16(0)]))
    client.#sizeBytes = Number(replies[0]?.data.readBigUInt64BE(2))
    assert.deepEqual(
      replies.map(({ type }) => type),
      [3, 1],
    )
    return client
  }

  send(...parts: readonly Uint8Array[]): void {
    this.#socket.write(Buffer.concat(parts))
  }

  /** undefined: the server has ended the connection. */
  async read(bytes: number): Promise<Buffer | undefined> {
    if (bytes === 0) return Buffer.alloc(0)
    for (;;) {
      const got = this.#socket.read(bytes) as Buffer | null
      if (got !== null) return got.length === bytes ? got : undefined
      if (this.#ended || this.#socket.readableEnded) return undefined
      await new Promise<void>((resolve) => {
        this.#wake = resolve
      })
    }
  }

  /** Sends an option and reads its replies up to the last one; fewer where the server hangs up. */
  async option(option: number, data: Uint8Array = Buffer.alloc(0)): Promise<{ type: number; data: Buffer }[]> {
    this.send(Buffer.from('IHAVEOPT'), u32(option), u32(data.length), data)
    const replies: { type: number; data: Buffer }[] = []
    for (;;) {
      const head = await this.read(20)
      if (head === undefined) return replies
      assert.equal(head.readBigUInt64BE(0), 0x3e889045565a9n)
      assert.equal(head.readUInt32BE(8), option)
      const type = head.readUInt32BE(12)
      replies.push({ type, data: (await this.read(head.readUInt32BE(16))) ?? assert.fail() })
      if (type === 1 || type >= 0x8000_0000) return replies
    }
  }

  request(command: number, offset: bigint, length: number, { flags = 0, cookie = 7n, magic = 0x25609513 } = {}): void {
    this.send(u32(magic), u16(flags), u16(command), u64(cookie), u64(offset), u32(length))
  }

  /** Error and bytes of a simple reply. */
  async simpleReply(bytes: number): Promise<{ error: number; cookie: bigint; data: Buffer } | undefined> {
    const head = await this.read(16)
    if (head === undefined) return undefined
    assert.equal(head.readUInt32BE(0), 0x67446698)
    const error = head.readUInt32BE(4)
    const data = error === 0 ? ((await this.read(bytes)) ?? assert.fail()) : Buffer.alloc(0)
    return { error, cookie: head.readBigUInt64BE(8), data }
  }

  /** All chunks of one structured reply. */
  async chunks(): Promise<{ type: number; payload: Buffer }[] | undefined> {
    const chunks: { type: number; payload: Buffer }[] = []
    for (;;) {
      const head = await this.read(20)
      if (head === undefined) return undefined
      assert.equal(head.readUInt32BE(0), 0x668e33ef)
      chunks.push({ type: head.readUInt16BE(6), payload: (await this.read(head.readUInt32BE(16))) ?? assert.fail() })
      if ((head.readUInt16BE(4) & 1) === 1) return chunks
    }
  }

  /** What is no hole of the disk, once the context was agreed on. */
  async dataStretches(): Promise<{ offset: number; length: number }[]> {
    const stretches: { offset: number; length: number }[] = []
    for (let offset = 0; offset < this.#sizeBytes;) {
      this.request(7, BigInt(offset), Math.min(2 ** 31, this.#sizeBytes - offset))
      const [chunk] = (await this.chunks()) ?? []
      assert.ok(chunk?.type === 5)
      for (let at = 4; at < chunk.payload.length; at += 8) {
        const length = chunk.payload.readUInt32BE(at)
        if (chunk.payload.readUInt32BE(at + 4) === 0) stretches.push({ offset, length })
        offset += length
      }
    }
    return stretches
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#socket.destroy()
    await Promise.resolve()
  }
}

export function u16(value: number): Buffer {
  const bytes = Buffer.alloc(2)
  bytes.writeUInt16BE(value)
  return bytes
}

export function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(value)
  return bytes
}

export function u64(value: bigint): Buffer {
  const bytes = Buffer.alloc(8)
  bytes.writeBigUInt64BE(value)
  return bytes
}
