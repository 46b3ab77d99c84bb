import { requireSameTenant } from '@strata/shared/keys/ingest-keys.ts'
import type { TenantPrivateKey } from '@strata/shared/keys/tenant-private-key.ts'
import { PointMap } from '@strata/shared/repository/point-map.ts'
import type { Point } from '@strata/shared/repository/points.ts'
import type { Repository } from '@strata/shared/repository/repository.ts'
import type { Damage } from '../../read/damage.ts'
import { DataKeyRing } from '../../read/data-key-ring.ts'
import type { ReadPool } from '../../read/read-pool.ts'
import { RecordRepairs } from '../../read/record-repairs.ts'
import { chooseDisk } from '../choose-disk.ts'
import { MapLookup } from './map-lookup.ts'
import { PointImage } from './point-image.ts'

export interface OpenImageOptions {
  readonly repository: Repository
  readonly privateKey: TenantPrivateKey
  readonly point: Point
  /** Needed only where the point has several disks. */
  readonly diskName?: string | undefined
  readonly pool: ReadPool
  readonly onDamage: (damage: Damage) => void
  /** Left out: `imageCacheBytes`. */
  readonly cacheBytes?: number
}

/** One disk of a point, for reads anywhere. */
export async function openImage(
  options: OpenImageOptions,
): Promise<{ readonly disk: string; readonly image: PointImage }> {
  const { repository, privateKey, point, diskName, pool, onDamage, cacheBytes } = options
  requireSameTenant('the private key', privateKey, repository.ingestKeys)
  const map = await PointMap.open(repository, point)
  const index = chooseDisk(point, diskName)
  const name = point.manifest.disks[index]?.name ?? ''
  const image = new PointImage({
    store: repository.store,
    pool,
    keys: new DataKeyRing(privateKey, repository.tenant, map.root.keys),
    repairs: new RecordRepairs(repository, map.place),
    disk: { ...map.disk(index), name },
    blockDigestKey: repository.digestKeysOf(point.set).block,
    lookup: new MapLookup(map, index),
    onDamage,
    ...(cacheBytes === undefined ? {} : { cacheBytes }),
  })
  return { disk: name, image }
}
