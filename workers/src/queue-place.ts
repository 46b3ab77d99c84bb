import { commitQueue } from '@strata/shared/queue/commit-job.ts'
import { handOverQueues, stagedQueues } from '@strata/shared/queue/ingest-job.ts'
import { Queue } from 'bullmq'
import { forgetLapsedClaim, lapsedClaims } from './queue-claim.ts'
import { bullConnection, connect, impatient, redisError, type RedisAddress } from './redis-connection.ts'

/** Where queues live: a Redis, and a prefix that keeps one installation (or one run) apart from others. */
export interface QueuePlace {
  readonly address: RedisAddress
  readonly prefix: string
}

/** Queues that a process has for itself, and those that it shares with others; a service that is alone has one place. */
export interface QueuePlaces {
  readonly own: QueuePlace
  readonly shared: QueuePlace
}

/** Alone, nobody says how large a segment is, and nobody waits for another's: all are in the queue for large ones. */
export function isAlone({ own, shared }: QueuePlaces): boolean {
  return own.prefix === shared.prefix
}

const allQueues = [...Object.values(handOverQueues), ...Object.values(stagedQueues), commitQueue]

/** Removes the queues of services that were killed. E_REDIS_UNREACHABLE, E_REDIS_REFUSES. */
export async function removeLeftQueues(address: RedisAddress): Promise<void> {
  const client = connect(address, impatient)
  try {
    for (const prefix of await lapsedClaims(client)) {
      await Promise.all(allQueues.map((name) => removeQueue({ address, prefix }, name)))
      await forgetLapsedClaim(client, prefix)
    }
  } catch (error) {
    throw redisError(address, error)
  } finally {
    client.disconnect()
  }
}

async function removeQueue({ address, prefix }: QueuePlace, name: string): Promise<void> {
  const queue = new Queue(name, { connection: { ...bullConnection(address), ...impatient }, prefix })
  // What comes of it is heard below; an 'error' event without a listener would end the process.
  queue.on('error', () => undefined)
  try {
    await queue.obliterate({ force: true })
  } finally {
    await queue.close()
  }
}
