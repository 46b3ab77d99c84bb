import { hasCode } from '../errors.ts'
import { compileLifecycle, type StorageClassMove } from '../lifecycle/rules.ts'
import type { Policy } from '../policy/policy.ts'
import { dayMs } from '../policy/wall-time.ts'
import { asId, type TenantId } from '../types.ts'
import { storedClasses } from '../format/storage-class.ts'
import type { PriceProvider, ProviderPrices } from './price-table.ts'

/** How objects move to colder classes with age: what the bucket's rules say, which are compiled from the policy. */
export interface ClassMoves {
  /** By ascending age, for objects of a size. */
  readonly ofObjects: (objectBytes: number) => readonly StorageClassMove[]
  /** Why none of them is made, where the policy wants some. */
  readonly problem: string | undefined
}

const nowhere: ClassMoves = { ofObjects: () => [], problem: undefined }

export function classMovesOf(policy: Policy, provider: PriceProvider, prices: ProviderPrices): ClassMoves {
  if (policy.storageClass.length === 0) return nowhere
  if (provider === 'directory') return { ...nowhere, problem: 'a directory has no storage classes' }
  const tenant = {
    id: anyTenant,
    classes: policy.storageClass,
    chainAgeDaysMax: Math.ceil(policy.chain.ageMsMax / dayMs),
  }
  try {
    const rules = compileLifecycle({ use: 'repository', provider, prefix: '', keepsVersions: false, tenant })
    const moves = rules.flatMap(({ moves: ofRule = [], largerThanBytes = 0 }) =>
      ofRule.map((move) => ({ ...move, bytesMin: Math.max(largerThanBytes + 1, bytesMovedMin(move, prices)) })),
    )
    moves.sort((a, b) => a.afterDays - b.afterDays)
    return {
      ofObjects: (objectBytes) => colder(moves.filter(({ bytesMin }) => objectBytes >= bytesMin)),
      problem: undefined,
    }
  } catch (error) {
    // Nobody can apply such rules, so everything stays where it is.
    if (!hasCode(error, 'E_LIFECYCLE_IMPOSSIBLE')) throw error
    return { ...nowhere, problem: error.message }
  }
}

/** Rules are compiled for a tenant; which one makes no difference to their ages. */
const anyTenant = asId<TenantId>('0'.repeat(32))

/** S3 moves nothing that it would bill as more than it is. */
function bytesMovedMin({ class: to }: StorageClassMove, { classes }: ProviderPrices): number {
  return classes[to].objectBytesMin
}

function colder(moves: readonly StorageClassMove[]): readonly StorageClassMove[] {
  return moves.filter((move, index) =>
    moves.slice(0, index).every((before) => storedClasses.indexOf(before.class) < storedClasses.indexOf(move.class)),
  )
}
