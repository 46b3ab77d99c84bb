import { hasCode, StrataError } from '@strata/shared/errors.ts'
import type { ObjectStore } from '@strata/shared/store/object-store.ts'

/** What a store's credentials must allow, in the words of each of them. */
const rights = {
  read: 'reading objects (S3: s3:GetObject; Azure: read)',
  list: 'listing (S3: s3:ListBucket; Azure: list)',
  write: 'writing objects (S3: s3:PutObject; Azure: create and write)',
  tag: 'tagging objects (S3: s3:PutObjectTagging; Azure: tags)',
  lock: 'locking objects (S3: s3:PutObjectRetention; Azure: set immutability policy)',
  delete: 'deleting objects (S3: s3:DeleteObject; Azure: delete)',
} as const

/**
 * `store`, whose refusals say which right is missing, and where: two stores have two sets of credentials.
 * @param role `the source`, `the copy`
 */
export function namingRights(store: ObjectStore, role: string): ObjectStore {
  const told = (error: unknown, right: keyof typeof rights): unknown => {
    if (!hasCode(error, 'E_STORE_DENIED', 'E_STORE_READ_ONLY')) return error
    const message = `${role} does not allow ${rights[right]}: ${error.message}`
    return new StrataError(error.code, message, {
      cause: error,
      hint: `Let the credentials for ${store.description} do this, or give others.`,
      ...(error.details === undefined ? {} : { details: error.details }),
    })
  }
  const telling = async <T>(right: keyof typeof rights, request: () => Promise<T>): Promise<T> => {
    try {
      return await request()
    } catch (error) {
      throw told(error, right)
    }
  }
  async function* listing<T>(list: AsyncIterable<T>): AsyncGenerator<T> {
    try {
      yield* list
    } catch (error) {
      throw told(error, 'list')
    }
  }
  return {
    description: store.description,
    copying: store.copying,
    put: (name, parts, options) => telling('write', () => store.put(name, parts, options)),
    compose: (name, ranges, parts) => telling('write', () => store.compose(name, ranges, parts)),
    get: (name, part) => telling('read', () => store.get(name, part)),
    head: (name) => telling('read', () => store.head(name)),
    list: (prefix, options) => listing(store.list(prefix, options)),
    listDirectories: (prefix, options) => listing(store.listDirectories(prefix, options)),
    setTags: (name, tags) => telling('tag', () => store.setTags(name, tags)),
    tags: (name) => telling('tag', () => store.tags(name)),
    listTagged: store.listTagged,
    lockability: () => store.lockability(),
    lock: (name, lock) => telling('lock', () => store.lock(name, lock)),
    lockOf: (name) => telling('lock', () => store.lockOf(name)),
    setLegalHold: (name, on) => telling('lock', () => store.setLegalHold(name, on)),
    delete: (name) => telling('delete', () => store.delete(name)),
    now: () => store.now(),
    close: () => store.close(),
  }
}
