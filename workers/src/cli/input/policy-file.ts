import { StrataError } from '@strata/shared/errors.ts'
import { policyBytesMax } from '@strata/shared/limits.ts'
import { policyType } from '@strata/shared/policy/policy.ts'
import { readSmallFile } from './small-file.ts'

/**
 * What a file says that a person wrote, with the head that every policy has and nobody needs to write.
 * @param given how the person calls the file
 */
export async function readPolicyFile(path: string, given: string): Promise<unknown> {
  const about = { what: 'the policy', bytesMax: policyBytesMax, invalid: 'E_POLICY_INVALID' } as const
  const value = await parse(await readSmallFile({ path, given, ...about }), given)
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value
  return { strata: policyType.title, version: policyType.version, ...value }
}

/** JSON, or else YAML, which has a name for its files or is what no JSON is. */
async function parse(text: string, given: string): Promise<unknown> {
  if (/\.ya?ml$/i.test(given)) return await parseYaml(text, given)
  try {
    return JSON.parse(text)
  } catch (error) {
    // What looks like JSON was meant to be that.
    const reason = error instanceof Error ? error.message : String(error)
    if (/^\s*[[{]/.test(text))
      throw new StrataError('E_POLICY_INVALID', `${given} is no JSON: ${reason}`, { cause: error })
    return await parseYaml(text, given)
  }
}

/**
 * YAML 1.2 as far as JSON has the same: dates and times stay text, a name stands once in a mapping, and there are no tags
 * and no aliases, of which a few lines can make gigabytes.
 */
async function parseYaml(text: string, given: string): Promise<unknown> {
  const { parseDocument, visit } = await import('yaml')
  const refuse = (reason: string): never => {
    throw new StrataError('E_POLICY_INVALID', `${given} is no YAML that a policy can be written in: ${reason}`)
  }
  const document = parseDocument(text, { version: '1.2', schema: 'core', stringKeys: true })
  const [error] = document.errors
  if (error !== undefined) refuse(error.message.split('\n')[0]?.replace(/:$/, '') ?? error.code)
  visit(document, {
    Alias: (_, { source }) => refuse(`the alias *${source}; write out what it stands for`),
    Node: (_, { tag }) => (tag === undefined ? undefined : refuse(`the tag ${tag}; leave it out`)),
  })
  // Not a number, and no end of them, are nothing that can be stored.
  return JSON.parse(JSON.stringify(document.toJS({ maxAliasCount: 0 }))) as unknown
}
