import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createConnection, type Socket } from 'node:net'
import { Redis } from 'ioredis'
import type { TestRedis } from '../servers/redis.ts'

/** Every command that a Redis is given from now on, as it tells them itself. */
export class RedisWatch {
  readonly #socket: Socket
  readonly #chunks: Buffer[] = []

  static async begin({ socketPath }: TestRedis): Promise<RedisWatch> {
    const socket = createConnection(socketPath)
    const watch = new RedisWatch(socket)
    socket.write('MONITOR\r\n')
    await once(socket, 'data')
    return watch
  }

  private constructor(socket: Socket) {
    this.#socket = socket
    socket.on('data', (chunk: Buffer) => this.#chunks.push(chunk))
  }

  /** What was seen so far: as Redis tells it, and with the bytes that it writes as `\xHH`. */
  seen(): Buffer {
    const told = Buffer.concat(this.#chunks)
    return Buffer.concat([told, unescaped(told)])
  }

  end(): void {
    this.#socket.destroy()
  }
}

const named: Readonly<Record<string, string>> = { n: '\n', r: '\r', t: '\t', a: '\u0007', b: '\b' }

function unescaped(told: Buffer): Buffer {
  const text = told.toString('latin1').replaceAll(/\\(x([0-9a-f]{2})|.)/gi, (_, one: string, hex?: string) => {
    return hex === undefined ? (named[one] ?? one) : String.fromCharCode(Number.parseInt(hex, 16))
  })
  return Buffer.from(text, 'latin1')
}

/** All that is in a Redis: each key with everything it holds. */
export async function contentsOf({ socketPath }: TestRedis): Promise<Map<string, Buffer>> {
  const client = new Redis({ path: socketPath })
  try {
    const contents = new Map<string, Buffer>()
    for (const key of (await client.keys('*')).sort()) {
      const read = readers[await client.type(key)]
      // Gone since the list was made.
      if (read === undefined) continue
      contents.set(key, Buffer.concat(flat(await read(client, key))))
    }
    return contents
  } finally {
    client.disconnect()
  }
}

/** What each type is read with, as bytes: a dump of Redis's own would be compressed. */
const readers: Readonly<Record<string, (client: Redis, key: string) => Promise<unknown>>> = {
  string: (client, key) => client.getBuffer(key),
  list: (client, key) => client.lrangeBuffer(key, 0, -1),
  set: (client, key) => client.smembersBuffer(key),
  zset: (client, key) => client.callBuffer('ZRANGE', key, '0', '-1', 'WITHSCORES'),
  hash: (client, key) => client.callBuffer('HGETALL', key),
  stream: (client, key) => client.callBuffer('XRANGE', key, '-', '+'),
}

function flat(value: unknown): Buffer[] {
  if (value instanceof Uint8Array) return [Buffer.from(value), separator]
  if (Array.isArray(value)) return value.flatMap(flat)
  if (value instanceof Map) return flat([...value.entries()])
  assert.equal(value, null, 'a reply of Redis is made of bytes')
  return []
}

/** So that two neighbours make nothing that neither of them is. */
const separator = Buffer.from('\n')

/** Nobody waits, works or has failed, and nothing is in flight. Completed jobs may stay for a while. */
export function unfinishedWork(contents: ReadonlyMap<string, Buffer>): string[] {
  const unfinished = /:(wait|active|delayed|prioritized|paused|failed|waiting-children)$/
  const inFlight = /:admission:(permits|flight|staged|held|waiting|wants)$/
  return [...contents.keys()].filter((key) => unfinished.test(key) || inFlight.test(key))
}
