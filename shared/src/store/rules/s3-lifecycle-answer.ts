import type { S3Client } from '@aws-sdk/client-s3'
import { StrataError } from '../../errors.ts'
import { lifecycleBytesMax } from '../../limits.ts'

/**
 * The SDK leaves out of an answer what it does not know. Written back, such a rule would have lost a part of what it says:
 * so the answer is looked at before the SDK has it.
 */
export interface LifecycleAnswers {
  /** Of the answer before. */
  unknownMembers(): string[]
}

/** What the SDK gives, and writes. */
const knownMembers: ReadonlySet<string> = new Set([
  'LifecycleConfiguration',
  'Rule',
  'ID',
  'Status',
  'Prefix',
  'Filter',
  'And',
  'Tag',
  'Key',
  'Value',
  'ObjectSizeGreaterThan',
  'ObjectSizeLessThan',
  'Expiration',
  'Days',
  'Date',
  'ExpiredObjectDeleteMarker',
  'Transition',
  'StorageClass',
  'NoncurrentVersionExpiration',
  'NoncurrentVersionTransition',
  'NoncurrentDays',
  'NewerNoncurrentVersions',
  'AbortIncompleteMultipartUpload',
  'DaysAfterInitiation',
])

/** Looks at all answers of `client` to a question for lifecycle rules from now on. */
export function watchLifecycleAnswers(client: S3Client): LifecycleAnswers {
  let unknown: string[] = []
  client.middlewareStack.add(
    (next, { commandName }) =>
      async (args) => {
        const result = await next(args)
        if (commandName !== 'GetBucketLifecycleConfigurationCommand') return result
        const response = result.response as { statusCode?: number; body?: unknown }
        if (response.statusCode !== 200) return result
        const bytes = await bytesOf(response.body as AsyncIterable<Uint8Array>)
        unknown = unknownMembersIn(bytes.toString('utf8'))
        response.body = bytes
        return result
      },
    // Nearest to the wire: what it gives is what the SDK reads.
    { step: 'deserialize', name: 'strataLifecycleAnswers', priority: 'low' },
  )
  return { unknownMembers: () => unknown }
}

/** Values hold no `<`: XML writes them as entities. */
export function unknownMembersIn(xml: string): string[] {
  const names = new Set([...xml.matchAll(/<([A-Za-z][\w.:-]*)/g)].map(([, name = '']) => name))
  return [...names].filter((name) => !knownMembers.has(name)).sort()
}

async function bytesOf(body: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const parts: Uint8Array[] = []
  let bytes = 0
  for await (const part of body) {
    bytes += part.byteLength
    if (bytes > lifecycleBytesMax) {
      throw new StrataError('E_STORE_PROTOCOL', `the lifecycle rules have more than ${String(lifecycleBytesMax)} bytes`)
    }
    parts.push(part)
  }
  return Buffer.concat(parts)
}
