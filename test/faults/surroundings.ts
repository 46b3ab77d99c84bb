import { missingPrograms } from '../servers/processes.ts'
import { cephRgwRequirement, startCephRgw } from '../servers/ceph-rgw.ts'
import { rootRequirement } from '../servers/require-server.ts'
import type { Place } from '../end-to-end/place.ts'
import { needs, type Scenario } from './scenario.ts'
import { makeTemplate } from './template.ts'
import { s3Buckets, type Surroundings } from './world.ts'

/** What this machine lacks for a scenario, in words. */
export function missingFor(scenario: Scenario): string | undefined {
  const { s3, root } = needs(scenario)
  if (s3 && missingPrograms(cephRgwRequirement.programs).length > 0)
    return `needs Ceph RGW: ${cephRgwRequirement.remedy}`
  if (root && rootRequirement.isMet?.() !== true) return 'needs root, to mount small disks'
  return undefined
}

export interface StartedSurroundings extends Surroundings {
  readonly template: Place
  stop(): Promise<void>
}

/** Starts what the scenarios share. */
export async function startSurroundings(scenarios: readonly Scenario[]): Promise<StartedSurroundings> {
  const template = await makeTemplate()
  const s3 = scenarios.some((scenario) => needs(scenario).s3) ? await startCephRgw() : undefined
  for (const bucket of Object.values(s3Buckets)) await s3?.createBucket(bucket)
  return {
    template,
    s3,
    stop: async () => {
      await s3?.stop()
      await template[Symbol.asyncDispose]()
    },
  }
}
