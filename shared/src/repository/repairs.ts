import { hasCode } from '../errors.ts'
import { chainPrefix, type ChainPlace } from '../format/names.ts'
import { repairsType, type RepairsDocument, type repairsSchema } from '../format/repairs.ts'
import { decodeWrappedDataKey, encodeWrappedDataKey, type WrappedDataKey } from '../format/wrapped-key.ts'
import { keysPerRootMax, repairObjectsMax, repairsPerChainMax } from '../limits.ts'
import { asId, type ChainId } from '../types.ts'
import { whileOthersAreFaster } from './registry/change.ts'
import { instant } from './registry/registry.ts'
import { VersionedDocuments, type Versioned } from './registry/versioned.ts'
import type { Repository } from './repository.ts'

/** Where a record lies; `object` is the name of a pack below its chain. */
export interface RecordPlace {
  readonly object: string
  readonly offset: number
  readonly length: number
}

/** One record is to be read in the place of another, which has the same digest. */
export interface Repair {
  readonly from: Pick<RecordPlace, 'object' | 'offset'>
  readonly to: RecordPlace
}

/** The repairs of a chain. docs/format.md, "Registry documents". */
export class Repairs {
  /** Data keys of the records to be read. */
  readonly keys: readonly WrappedDataKey[]
  readonly #to: ReadonlyMap<string, RecordPlace>

  constructor(repairs: Iterable<Repair>, keys: readonly WrappedDataKey[]) {
    this.#to = new Map(Array.from(repairs, ({ from, to }) => [keyOf(from), to]))
    this.keys = keys
  }

  get isEmpty(): boolean {
    return this.#to.size === 0
  }

  /** What stands for the record at a place. */
  find(place: Repair['from']): RecordPlace | undefined {
    return this.#to.get(keyOf(place))
  }

  *all(): Generator<Repair> {
    for (const [key, to] of this.#to) {
      const [object = '', offset] = key.split('#')
      yield { from: { object, offset: Number(offset) }, to }
    }
  }
}

export const noRepairs = new Repairs([], [])

function keyOf({ object, offset }: Repair['from']): string {
  return `${object}#${String(offset)}`
}

/** Name of a pack below its chain, and back. */
export function objectInChain(place: ChainPlace, name: string): string {
  return name.slice(chainPrefix(place).length)
}

/** One request where nothing was ever repaired; else a listing and one more. */
export async function readRepairs(repository: Repository, chain: ChainId): Promise<Repairs> {
  return repairsOf(await documentsOf(repository).latest(chain))
}

/**
 * Notes repairs of a chain, and the keys they need. Whoever reads a damaged record follows one repair and no more, so
 * repairs that lead to a place which is repaired now lead on to where that leads. What there is no room for is left out.
 */
export async function addRepairs(
  repository: Repository,
  place: ChainPlace,
  repairs: readonly Repair[],
  keys: readonly WrappedDataKey[],
): Promise<Repairs> {
  const documents = documentsOf(repository)
  return await whileOthersAreFaster(async () => {
    const stored = await documents.latest(place.chain)
    const merged = mergedRepairs(repairsOf(stored), repairs, keys)
    const changedAt = instant(await repository.store.now())
    const document: RepairsDocument = {
      strata: 'repairs',
      version: 1,
      chain: place.chain,
      set: place.set,
      changedAt,
      ...encoded(merged),
    }
    return repairsOf(await documents.append(place.chain, stored?.version ?? 0, document))
  })
}

function mergedRepairs(known: Repairs, added: readonly Repair[], keys: readonly WrappedDataKey[]): Repairs {
  const fresh = new Repairs(added, [])
  const before = [...known.all()].map(({ from, to }) => ({ from, to: fresh.find(to) ?? to }))
  const all = new Repairs([...before, ...added].slice(-repairsPerChainMax), [])
  const byId = new Map([...known.keys, ...keys].map((key) => [key.keyId, key]))
  return new Repairs(all.all(), [...byId.values()].slice(-keysPerRootMax))
}

function encoded(repairs: Repairs): Pick<RepairsDocument, 'objects' | 'records' | 'keys'> {
  const objects = new Map<string, number>()
  const indexOf = (object: string): number => {
    const index = objects.get(object) ?? objects.size
    objects.set(object, index)
    return index
  }
  const records: RepairsDocument['records'] = []
  for (const { from, to } of repairs.all()) {
    if (objects.size > repairObjectsMax - 2) break
    records.push([indexOf(from.object), from.offset, indexOf(to.object), to.offset, to.length])
  }
  const keys = repairs.keys.map((key) => Buffer.from(encodeWrappedDataKey(key)).toString('hex'))
  return { objects: [...objects.keys()], records, keys }
}

function repairsOf(stored: Versioned<RepairsDocument> | undefined): Repairs {
  if (stored === undefined) return noRepairs
  const { objects, records, keys } = stored.document
  const repairs = records.flatMap(([from, offset, to, toOffset, length]): Repair[] => {
    const [fromObject, toObject] = [objects[from], objects[to]]
    if (fromObject === undefined || toObject === undefined) return []
    return [{ from: { object: fromObject, offset }, to: { object: toObject, offset: toOffset, length } }]
  })
  return new Repairs(
    repairs,
    keys.map((key) => decodeWrappedDataKey(Buffer.from(key, 'hex'))),
  )
}

function documentsOf(repository: Repository): VersionedDocuments<typeof repairsSchema> {
  return new VersionedDocuments(repository, repairsType)
}

/** For a reader of damaged bytes, whom a damaged list of repairs must not stop: then there are none. */
export async function readRepairsIfWhole(repository: Repository, chain: string): Promise<Repairs> {
  try {
    return await readRepairs(repository, asId<ChainId>(chain))
  } catch (error) {
    if (hasCode(error, 'E_FORMAT_DAMAGED', 'E_FORMAT_KIND', 'E_FORMAT_NEWER', 'E_SEAL_BROKEN', 'E_HISTORY_BROKEN')) {
      return noRepairs
    }
    throw error
  }
}
