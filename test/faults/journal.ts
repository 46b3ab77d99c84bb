import { glob, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { blockDigest, digestBytes } from '@strata/shared/format/digest.ts'
import { pageEntriesMax } from '@strata/shared/limits.ts'
import { blockBytes, diskName, type Disks, type Moment } from './moments.ts'

/**
 * What an agent knows of the session under way, as its files say (agent/src/resume): read here once more and by other
 * code, since it is what the agent is judged by.
 */
export interface Journal {
  readonly session: string
  /** Of the session's disks. */
  readonly sizes: readonly number[]
  /** Of each disk: the blocks that went out, and the digest of those that were acknowledged. */
  readonly disks: readonly ReadonlyMap<number, Buffer | 'sent'>[]
}

const pageBytes = pageEntriesMax * (1 + digestBytes)
const acknowledged = 2

export async function readJournal(stateDirectory: string, disks: number): Promise<Journal | undefined> {
  const runs = join(stateDirectory, 'runs')
  const [head] = await Array.fromAsync(glob('*/session.json', { cwd: runs }))
  if (head === undefined) return undefined
  let document: { readonly session: string; readonly disks: readonly { readonly sizeBytes: number }[] }
  try {
    document = JSON.parse(await readFile(join(runs, head), 'utf8')) as typeof document
  } catch {
    // Cut off in the middle, as some of the faults want it.
    return undefined
  }
  const directory = join(runs, head, '..')
  const sent = Array.from({ length: disks }, (_, disk) => readSent(join(directory, `${diskName(disk)}.sent`)))
  const sizes = document.disks.map(({ sizeBytes }) => sizeBytes)
  return { session: document.session, sizes, disks: await Promise.all(sent) }
}

async function readSent(path: string): Promise<Map<number, Buffer | 'sent'>> {
  const blocks = new Map<number, Buffer | 'sent'>()
  const bytes = await readFile(path).catch((error: unknown) => {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return Buffer.alloc(0)
    throw error
  })
  for (let page = 0; page * pageBytes < bytes.length; page += 1) {
    const at = page * pageBytes
    for (let index = 0; index < pageEntriesMax; index += 1) {
      const state = bytes[at + index] ?? 0
      if (state === 0) continue
      const from = at + pageEntriesMax + index * digestBytes
      const digest = bytes.subarray(from, from + digestBytes)
      blocks.set(page * pageEntriesMax + index, state === acknowledged ? digest : 'sent')
    }
  }
  return blocks
}

/** What a run that goes on with the session may send at most, and what it need not send again. */
export interface Owed {
  readonly bytesMax: number
  readonly acknowledgedBytes: number
}

/** @param base what the session's base holds; undefined: nothing, or nobody knows */
export function owedOf(journal: Journal, disks: Disks, blockDigestKey: Buffer, base: Moment | undefined): Owed {
  let bytesMax = 0
  let acknowledgedBytes = 0
  for (const [disk, { blocks, sizeBytes }] of disks.now.disks.entries()) {
    const before = base?.disks[disk]?.blocks
    for (const [block, hash] of blocks.entries()) {
      const from = block * blockBytes
      const bytes = Math.min(blockBytes, sizeBytes - from)
      const known = journal.disks[disk]?.get(block)
      const content = disks.content(disk).subarray(from, from + bytes)
      const isAcknowledged = known instanceof Buffer && known.equals(blockDigest(blockDigestKey, content))
      const isOfBase = known === undefined && before?.[block] === hash
      if (isAcknowledged) acknowledgedBytes += bytes
      else if (hash !== '' && !isOfBase) bytesMax += bytes
    }
  }
  return { bytesMax, acknowledgedBytes }
}
