import type { RandomBytes } from '../clock.ts'
import { StrataError, hasCode } from '../errors.ts'
import type { ObjectStore } from './object-store.ts'

/**
 * Some servers ignore `If-None-Match` without a word. On such a store two writers would overwrite each other's
 * manifests, so a repository is used only after this.
 */
const probePrefix = 'probes/'
const probeRandomBytes = 16

/**
 * Has two puts create the same new object at the same time. Exactly one must win and leave its bytes, otherwise
 * E_STORE_UNCONDITIONAL. Other errors of the store pass. The object is removed again.
 */
export async function probeCreateIfAbsent(store: ObjectStore, randomBytes: RandomBytes): Promise<void> {
  const name = probePrefix + Buffer.from(randomBytes(probeRandomBytes)).toString('hex')
  const contents = [randomBytes(probeRandomBytes), randomBytes(probeRandomBytes)]
  try {
    const puts = contents.map(async (content) => {
      await store.put(name, [content], { ifAbsent: true })
    })
    const outcomes = await Promise.allSettled(puts)
    const failures = outcomes
      .filter((outcome) => outcome.status === 'rejected')
      .map((outcome) => outcome.reason as unknown)
    for (const failure of failures) if (!hasCode(failure, 'E_OBJECT_EXISTS')) throw failure
    const winners = contents.filter((_, index) => outcomes[index]?.status === 'fulfilled')
    const [winner] = winners
    if (winner === undefined || winners.length !== 1) {
      throw unconditionalError(store, `${String(winners.length)} of 2 writers created the same object`)
    }
    if (Buffer.compare(await store.get(name, { bytesMax: probeRandomBytes }), winner) !== 0) {
      throw unconditionalError(store, 'the writer that was refused has changed the object')
    }
  } finally {
    await store.delete(name)
  }
}

function unconditionalError(store: ObjectStore, what: string): StrataError {
  return new StrataError('E_STORE_UNCONDITIONAL', `${store.description} has no create-if-absent: ${what}`)
}
