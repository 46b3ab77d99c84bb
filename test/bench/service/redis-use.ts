import type { Redis } from 'ioredis'

/** What Redis holds, and for what. */
export interface RedisUse {
  /** As Redis counts them, its own needs among them. */
  readonly usedBytes: number
  readonly byFamily: Readonly<Record<RedisFamily, { readonly keys: number; readonly bytes: number }>>
}

export const redisFamilies = ['seen tokens', 'jobs', 'events', 'admission', 'other'] as const
export type RedisFamily = (typeof redisFamilies)[number]

export async function redisUse(client: Redis): Promise<RedisUse> {
  const info = await client.info('memory')
  const families = new Map(redisFamilies.map((family) => [family, { keys: 0, bytes: 0 }]))
  for await (const keys of client.scanStream({ count: 1000 }) as AsyncIterable<string[]>) {
    const sizes = await Promise.all(keys.map((key) => client.memory('USAGE', key)))
    for (const [index, key] of keys.entries()) {
      const family = families.get(familyOf(key))
      if (family === undefined) continue
      family.keys += 1
      family.bytes += sizes[index] ?? 0
    }
  }
  return {
    usedBytes: Number(/^used_memory:([0-9]+)/m.exec(info)?.[1]),
    byFamily: Object.fromEntries(families) as RedisUse['byFamily'],
  }
}

/** BullMQ keeps a job under its queue's name and its id, and whatever happens in a stream `events`. */
function familyOf(key: string): RedisFamily {
  if (key.includes(':seen:')) return 'seen tokens'
  if (key.endsWith(':events')) return 'events'
  if (key.includes(':admission:')) return 'admission'
  return /:(?:(?:hand-over|ingest)(?:-small)?|commit):(?:[0-9a-f]{32}-|completed$|failed$)/.test(key) ? 'jobs' : 'other'
}
