import { StrataError, hasCode } from '@strata/shared/errors.ts'
import {
  idBelow,
  isTenantKeysName,
  repositoryName,
  tenantKeysPrefix,
  tenantPointsPrefix,
} from '@strata/shared/format/names.ts'
import { repositoryDocumentBytesMax, tenantKeysBytesMax } from '@strata/shared/limits.ts'
import { readRepositoryDocument, type Repository } from '@strata/shared/repository/repository.ts'
import { probeCreateIfAbsent } from '@strata/shared/store/conditional-probe.ts'
import type { ObjectStore } from '@strata/shared/store/object-store.ts'
import type { SetId } from '@strata/shared/types.ts'
import { namesBelow } from './names-below.ts'
import { putOnce, requireSame } from './put-once.ts'

/**
 * Makes another store the same repository, with the same tenant, as far as it is not yet: its document and the keys. Nothing
 * is written into one that is something else. Errors: E_COPY_SAME_STORE, E_COPY_DIFFERS, E_FORMAT_NEWER,
 * E_STORE_UNCONDITIONAL.
 */
export async function prepareTarget(source: Repository, target: ObjectStore): Promise<void> {
  const own = await readRepositoryDocument(source.store)
  const isThere = await hasRepository(target, own.repository)
  await requireOther(source, target)
  if (!isThere) {
    await probeCreateIfAbsent(target, (count) => source.random(count))
    const bytes = await source.store.get(repositoryName, { bytesMax: repositoryDocumentBytesMax })
    await putOnce(target, repositoryName, bytes)
  }
  await copyKeys(source, target)
}

async function hasRepository(target: ObjectStore, id: string): Promise<boolean> {
  try {
    const { repository } = await readRepositoryDocument(target)
    if (repository === id) return true
    throw new StrataError(
      'E_COPY_DIFFERS',
      `${target.description} is another repository: ${repository}, where the source is ${id}`,
    )
  } catch (error) {
    if (hasCode(error, 'E_REPOSITORY_MISSING')) return false
    throw error
  }
}

const probeBytes = 16

/** Two URLs may be one place: by a link, another name of a server, a proxy. What is written in one would show in the other. */
async function requireOther(source: Repository, target: ObjectStore): Promise<void> {
  const bytes = source.random(probeBytes)
  const name = `probes/${Buffer.from(bytes).toString('hex')}`
  await target.put(name, [bytes])
  try {
    if ((await source.store.head(name)) === undefined) return
    throw new StrataError(
      'E_COPY_SAME_STORE',
      `${target.description} is the store that is to be copied, under another name`,
    )
  } finally {
    await target.delete(name)
  }
}

async function copyKeys(source: Repository, target: ObjectStore): Promise<void> {
  const { tenant } = source
  const own = await namesBelow(source.store, tenantKeysPrefix(tenant))
  const there = await namesBelow(target, tenantKeysPrefix(tenant))
  const isKeys = (name: string): boolean => isTenantKeysName(tenant, name)
  for (const name of [...there].filter(isKeys)) {
    if (!own.has(name))
      throw new StrataError('E_COPY_DIFFERS', `${target.description} has keys that the source does not have: ${name}`)
  }
  for (const name of [...own].filter(isKeys)) {
    const bytes = await source.store.get(name, { bytesMax: tenantKeysBytesMax })
    if (there.has(name)) await requireSame(target, name, bytes)
    else await putOnce(target, name, bytes)
  }
}

/** Sets that the copy alone has are somebody's backups. Error: E_COPY_DIFFERS. */
export async function requireNoOtherSet(source: Repository, target: ObjectStore): Promise<void> {
  const prefix = tenantPointsPrefix(source.tenant)
  const own = new Set(await Array.fromAsync(source.store.listDirectories(prefix)))
  for await (const directory of target.listDirectories(prefix)) {
    if (own.has(directory) || idBelow<SetId>(prefix, directory) === undefined) continue
    throw new StrataError(
      'E_COPY_DIFFERS',
      `${target.description} has a set that the source does not have: ${directory}`,
    )
  }
}
