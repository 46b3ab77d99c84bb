import { DecryptCommand, EncryptCommand, KMSClient, KMSServiceException } from '@aws-sdk/client-kms'
import { StrataError, systemErrorCode, type ErrorCode } from '../errors.ts'
import { keyProviderTimeoutMs, storeConnectTimeoutMs } from '../limits.ts'
import { variable, type Environment } from '../store/environment.ts'
import type { TenantIdentity } from './ingest-keys.ts'
import type { ProviderOfOne, ProviderWrapped } from './key-provider.ts'

/**
 * A symmetric key of AWS KMS. The encryption context names repository and tenant: KMS refuses what was wrapped for
 * another one, its policies may grant by it, and CloudTrail tells by it whose key was used.
 *
 * Credentials are those of the SDK's own chain, unless the environment has keys.
 */
const algorithm = 'SYMMETRIC_DEFAULT'
const keyArnPattern = /^arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]{12}:key\/[A-Za-z0-9-]+$/
const arnRegionAt = 3

export class AwsKms implements ProviderOfOne {
  readonly #env: Environment

  constructor(env: Environment) {
    this.#env = env
  }

  /** @param key ARN, id, or alias of a key */
  async wrap(key: string, secret: Uint8Array, tenant: TenantIdentity): Promise<ProviderWrapped> {
    const command = new EncryptCommand({
      KeyId: key,
      Plaintext: secret,
      EncryptionAlgorithm: algorithm,
      EncryptionContext: contextOf(tenant),
    })
    const answer = await this.#ask(key, 'kms:Encrypt', async (client) => await client.send(command))
    if (answer.KeyId === undefined || !keyArnPattern.test(answer.KeyId) || answer.CiphertextBlob === undefined) {
      throw new StrataError('E_KEY_PROVIDER', `AWS KMS answered without ciphertext, or without the ARN of ${key}`)
    }
    return { key: answer.KeyId, wrapped: answer.CiphertextBlob }
  }

  async unwrap({ key, wrapped }: ProviderWrapped, tenant: TenantIdentity): Promise<Uint8Array | undefined> {
    if (!keyArnPattern.test(key)) throw new StrataError('E_FORMAT_DAMAGED', 'a wrap names no key of AWS KMS')
    const command = new DecryptCommand({
      KeyId: key,
      CiphertextBlob: wrapped,
      EncryptionAlgorithm: algorithm,
      EncryptionContext: contextOf(tenant),
    })
    try {
      return (await this.#ask(key, 'kms:Decrypt', async (client) => await client.send(command))).Plaintext
    } catch (error) {
      const cause = error instanceof StrataError ? error.cause : undefined
      if (cause instanceof KMSServiceException && notWrappedByIt.has(cause.name)) return undefined
      throw error
    }
  }

  async #ask<Answer>(key: string, permission: string, work: (client: KMSClient) => Promise<Answer>): Promise<Answer> {
    const client = this.#clientFor(key)
    try {
      return await work(client)
    } catch (error) {
      throw kmsError(error, key, permission)
    } finally {
      client.destroy()
    }
  }

  #clientFor(key: string): KMSClient {
    const given = (...names: readonly string[]): string | undefined =>
      names.map((name) => variable(this.#env, name)).find((value) => value !== undefined)
    const region = key.startsWith('arn:') ? key.split(':')[arnRegionAt] : given('AWS_REGION', 'AWS_DEFAULT_REGION')
    const endpoint = given('AWS_ENDPOINT_URL_KMS', 'AWS_ENDPOINT_URL')
    const accessKeyId = given('AWS_ACCESS_KEY_ID')
    const secretAccessKey = given('AWS_SECRET_ACCESS_KEY')
    const sessionToken = given('AWS_SESSION_TOKEN')
    const hasKeys = accessKeyId !== undefined && secretAccessKey !== undefined
    return new KMSClient({
      ...(region === undefined ? {} : { region }),
      ...(endpoint === undefined ? {} : { endpoint }),
      ...(hasKeys
        ? { credentials: { accessKeyId, secretAccessKey, ...(sessionToken === undefined ? {} : { sessionToken }) } }
        : {}),
      requestHandler: { connectionTimeout: storeConnectTimeoutMs, requestTimeout: keyProviderTimeoutMs },
    })
  }
}

function contextOf({ repositoryId, tenantId }: TenantIdentity): Record<string, string> {
  return { 'strata:repository': repositoryId, 'strata:tenant': tenantId }
}

/** KMS's words for ciphertext, or a context, that is not what was wrapped. */
const notWrappedByIt = new Set(['InvalidCiphertextException', 'IncorrectKeyException'])

/** KMS's names of errors, as far as somebody can do something about them. */
const codes: Readonly<Record<string, ErrorCode>> = {
  AccessDeniedException: 'E_KEY_DENIED',
  ExpiredTokenException: 'E_KEY_DENIED',
  UnrecognizedClientException: 'E_KEY_DENIED',
  InvalidSignatureException: 'E_KEY_DENIED',
  IncompleteSignature: 'E_KEY_DENIED',
  InvalidClientTokenId: 'E_KEY_DENIED',
  CredentialsProviderError: 'E_KEY_DENIED',
  ThrottlingException: 'E_KEY_PROVIDER_AWAY',
  LimitExceededException: 'E_KEY_PROVIDER_AWAY',
  KMSInternalException: 'E_KEY_PROVIDER_AWAY',
  DependencyTimeoutException: 'E_KEY_PROVIDER_AWAY',
  KeyUnavailableException: 'E_KEY_PROVIDER_AWAY',
  ServiceUnavailable: 'E_KEY_PROVIDER_AWAY',
}

function kmsError(error: unknown, key: string, permission: string): StrataError {
  const { name, message } = error instanceof Error ? error : { name: '', message: String(error) }
  const isAway = name === 'TimeoutError' || systemErrorCode(error) !== undefined
  const code = codes[name] ?? (isAway ? 'E_KEY_PROVIDER_AWAY' : 'E_KEY_PROVIDER')
  if (code === 'E_KEY_DENIED') {
    return new StrataError(code, `AWS KMS does not let this machine use ${permission} on ${key}: ${name}: ${message}`, {
      cause: error,
      hint: `Grant ${permission} on this key to whoever runs this (by the key's policy or by IAM), or give other credentials: AWS_ACCESS_KEY_ID, AWS_PROFILE or a role.`,
      details: { permission, key },
    })
  }
  return new StrataError(code, `AWS KMS, ${permission} on ${key}: ${name}: ${message}`, { cause: error })
}
