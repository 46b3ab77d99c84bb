import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { systemRandomBytes } from '@strata/shared/clock.ts'
import { isAllZero } from '@strata/shared/format/digest.ts'
import { openDataKey } from '@strata/shared/keys/data-keys.ts'
import { readKeyring } from '@strata/shared/keys/keyring.ts'
import type { UnlockSecrets } from '@strata/shared/keys/tenant-keys.ts'
import { pageEntriesMax } from '@strata/shared/limits.ts'
import { PointMap } from '@strata/shared/repository/point-map.ts'
import { isReadable, listPoints, pointId } from '@strata/shared/repository/points.ts'
import { unlockRepository, type UnlockedTenant } from '@strata/shared/repository/unlock.ts'
import type { ObjectStore } from '@strata/shared/store/object-store.ts'
import { KiB } from '../end-to-end/place.ts'
import type { SecretScan } from './secret-scan.ts'

/** What a run has that nobody else may find anywhere. */

const blockBytes = 256 * KiB
const sampleBytes = 32
/** Fewer different bytes might be anywhere: a table of a file system, a run of one value. */
const differentBytesMin = 20

/** Pieces of what a disk holds, and what a block of it hashes to without any key. */
export async function addDisk(scan: SecretScan, name: string, path: string): Promise<void> {
  const bytes = await readFile(path)
  for (let offset = 0; offset < bytes.length; offset += blockBytes) {
    const block = bytes.subarray(offset, offset + blockBytes)
    if (isAllZero(block)) continue
    scan.addBytes(`SHA-256 of a block of ${name}`, createHash('sha256').update(block).digest())
    for (const at of [0, 0.3, 0.6, 0.9]) {
      const sample = block.subarray(Math.floor(at * block.length)).subarray(0, sampleBytes)
      if (new Set(sample).size >= differentBytesMin) scan.addBytes(`bytes of ${name}`, sample)
    }
  }
}

export interface TenantAccess {
  readonly name: string
  readonly store: ObjectStore
  readonly keyringPath: string
  readonly secrets: UnlockSecrets
}

/** Every key of a tenant, and every digest that its points have. */
export async function addTenant(scan: SecretScan, access: TenantAccess): Promise<void> {
  const { name, store, keyringPath, secrets } = access
  const keyring = await readKeyring(keyringPath)
  for (const key of keyring.indexKeys.values()) scan.addBytes(`index key of ${name}`, key)
  const options = { keyringPath, secrets: () => Promise.resolve(secrets), random: systemRandomBytes }
  const tenant = await unlockRepository(store, options)
  scan.addBytes(`private key of ${name}`, tenant.privateKey.bytes())
  let digests = 0
  for await (const entry of listPoints(tenant.repository)) {
    assert.ok(isReadable(entry))
    const { repository } = tenant
    const { block, tree } = repository.digestKeysOf(entry.set)
    scan.addBytes(`digest key of ${name}`, block)
    scan.addBytes(`digest key of ${name}`, tree)
    scan.addBytes(`transport key of ${name}`, repository.transportKeyOf(pointId(entry)))
    digests += await addMap(scan, name, tenant, await PointMap.open(repository, entry))
  }
  assert.ok(digests > 0)
}

async function addMap(scan: SecretScan, name: string, tenant: UnlockedTenant, map: PointMap): Promise<number> {
  for (const wrapped of map.root.keys) {
    const { key } = await openDataKey(tenant.privateKey, tenant.repository.tenant, wrapped)
    scan.addBytes(`data key of ${name}`, key)
  }
  let digests = 0
  for (const [disk, { contentRoot }] of map.root.disks.entries()) {
    scan.addBytes(`content root of ${name}`, contentRoot)
    const numbers = Array.from({ length: map.counts(disk).pages }, (_, number) => number)
    for await (const page of map.pages(disk, numbers)) {
      for (let entry = 0; entry < Math.min(page.entryCount, pageEntriesMax); entry += 1) {
        const digest = page.digest(entry)
        if (isAllZero(digest)) continue
        scan.addBytes(`digest of a block of ${name}`, digest)
        digests += 1
      }
    }
  }
  return digests
}
