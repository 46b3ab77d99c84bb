/**
 * Loaded into a run of the program with NODE_OPTIONS=--import: limits have other values, as STRATA_TEST_LIMITS says
 * (`{"redisLostMsMax": 2000}`), so that a test need not wait as long as a person would.
 */
import { registerHooks } from 'node:module'

/** @type {unknown} */
const parsed = JSON.parse(process.env['STRATA_TEST_LIMITS'] ?? '{}')
const limits = /** @type {Record<string, number>} */ (parsed)

registerHooks({
  load(url, context, nextLoad) {
    const loaded = nextLoad(url, context)
    if (!url.endsWith('/shared/src/limits.ts')) return loaded
    let source = Buffer.from(/** @type {Uint8Array} */ (loaded.source)).toString()
    for (const [name, value] of Object.entries(limits)) {
      const declaration = new RegExp(`^export const ${name} = .*$`, 'm')
      if (!declaration.test(source)) throw new Error(`there is no limit ${name}`)
      source = source.replace(declaration, `export const ${name} = ${String(value)}`)
    }
    return { ...loaded, source }
  },
})
