/**
 * What counts of an object in a store that keeps earlier versions. There whoever may write can put a newer version above
 * every object, and a delete marker; what is locked cannot be taken away. So names that are written once mean their first
 * version. docs/format.md, "Older versions".
 *
 * - `kept`: the first version, whatever came after it. Nothing of ours deletes these, so a deletion counts for nothing.
 * - `data`: the same; but listings leave out what is deleted, since the store's own rules do that in the end.
 * - `created`: the first version, until it is deleted.
 * - `replaced`: the newest version.
 */
export type History = 'kept' | 'data' | 'created' | 'replaced'

/** @param name of an object, or the beginning of names */
export function historyOf(name: string): History {
  if (name.startsWith('probes/') || /^tenants\/[0-9a-f]{32}\/sessions\/[0-9a-f]{32}\/[0-9a-f]{32}\/open$/.test(name)) {
    return 'created'
  }
  const folder = /^tenants\/[0-9a-f]{32}\/([a-z-]+)\//.exec(name)?.[1]
  if (folder === 'sessions' || folder === 'pins' || folder === 'usage') return 'replaced'
  return folder === 'chains' ? 'data' : 'kept'
}
