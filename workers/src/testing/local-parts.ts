import { systemClock, type Clock } from '@strata/shared/clock.ts'
import { segmentBytesSmall } from '@strata/shared/limits.ts'
import type { Repository } from '@strata/shared/repository/repository.ts'
import { Gateway } from '../gateway/gateway.ts'
import type { JobQueues } from '../gateway/job-queues.ts'
import { JobWorkers } from '../job-workers.ts'
import type { QueuePlace } from '../queue-place.ts'
import { allRoles } from '../roles.ts'

/** Gateway and workers of one tenant, as a backup on one machine has them. */
export function localGateway(
  repository: Repository,
  queues: JobQueues,
  clock: Clock,
  segmentBytesMax: number = segmentBytesSmall,
): Gateway {
  return new Gateway({ repository, queues, clock, segmentBytesMax, isAlone: true })
}

export function localWorkers(repository: Repository, place: QueuePlace, handOverDirectory: string): JobWorkers {
  return new JobWorkers({
    tenants: { repositoryOf: () => Promise.resolve(repository) },
    places: { own: place, shared: place },
    roles: allRoles,
    handOverDirectory,
    threads: 1,
    commitsAtOnce: 1,
    clock: systemClock,
  })
}
