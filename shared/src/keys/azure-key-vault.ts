import type { Agent } from 'node:https'
import { DefaultAzureCredential, type TokenCredential } from '@azure/identity'
import { CryptographyClient, type CryptographyClientOptions } from '@azure/keyvault-keys'
import { StrataError } from '../errors.ts'
import type { ProviderOfOne, ProviderWrapped } from './key-provider.ts'

/**
 * An RSA key of Azure Key Vault or Managed HSM, by RSA-OAEP-256. Whoever has its public half can wrap as well: that
 * something unwraps says that it was meant for this key, not who made it.
 *
 * Credentials are those of the SDK's own chain (environment, managed identity, `az login`, …).
 */
const algorithm = 'RSA-OAEP-256'
/** A token for vaults goes to no other host, whatever a keys document names. */
const keyPattern =
  /^https:\/\/[a-zA-Z0-9-]{1,127}\.(vault|managedhsm)\.(azure\.net|azure\.cn|usgovcloudapi\.net)\/keys\/[a-zA-Z0-9-]{1,127}\/[a-f0-9]{32}$/

const permissions = {
  wrapKey: { policy: 'wrapKey', action: 'Microsoft.KeyVault/vaults/keys/wrap/action' },
  unwrapKey: { policy: 'unwrapKey', action: 'Microsoft.KeyVault/vaults/keys/unwrap/action' },
} as const
type Operation = keyof typeof permissions

/** How vaults are reached, and who asks. */
export interface AzureAccess {
  readonly agent: Agent
  /** Left out, whoever the SDK's own chain finds. */
  readonly credential?: TokenCredential
}

export class AzureKeyVault implements ProviderOfOne {
  readonly #credential: TokenCredential
  readonly #options: CryptographyClientOptions

  constructor(azure?: AzureAccess) {
    this.#credential = azure?.credential ?? new DefaultAzureCredential()
    // Reached by a name that the SDK's type leaves out.
    this.#options = azure === undefined ? {} : { agent: azure.agent }
  }

  /** @param key `https://<vault>/keys/<name>/<version>` */
  async wrap(key: string, secret: Uint8Array): Promise<ProviderWrapped> {
    const { result } = await this.#ask(key, 'wrapKey', (client) => client.wrapKey(algorithm, secret))
    return { key, wrapped: result }
  }

  async unwrap({ key, wrapped }: ProviderWrapped): Promise<Uint8Array | undefined> {
    try {
      return (await this.#ask(key, 'unwrapKey', (client) => client.unwrapKey(algorithm, wrapped))).result
    } catch (error) {
      const cause = error instanceof StrataError ? error.cause : undefined
      if (answerOf(cause).status === badRequest) return undefined
      throw error
    }
  }

  async #ask<Answer>(
    key: string,
    operation: Operation,
    work: (client: CryptographyClient) => Promise<Answer>,
  ): Promise<Answer> {
    if (!keyPattern.test(key)) {
      throw new StrataError('E_KEY_PROVIDER', `'${key}' is no key of a vault`, {
        hint: 'Give https://VAULT.vault.azure.net/keys/NAME/VERSION, with the version.',
      })
    }
    try {
      return await work(new CryptographyClient(key, this.#credential, this.#options))
    } catch (error) {
      throw vaultError(error, key, operation)
    }
  }
}

const badRequest = 400
const forbidden = 403
const unauthorized = 401
const tooManyRequests = 429
const serverErrors = 500

function vaultError(error: unknown, key: string, operation: Operation): StrataError {
  const { status, code } = answerOf(error)
  const { name, message } = error instanceof Error ? error : { name: '', message: String(error) }
  const what = `${operation} with ${key}: ${code ?? name}: ${message}`
  if (isRefusal(status, name) && !message.includes(disabledKey)) {
    const { policy, action } = permissions[operation]
    return new StrataError('E_KEY_DENIED', `Azure Key Vault does not let this machine use ${what}`, {
      cause: error,
      hint: `Grant the key permission ${policy} (or a role with ${action}) to whoever runs this, or give other credentials: AZURE_CLIENT_ID and its like, a managed identity, or az login.`,
      details: { permission: policy, key },
    })
  }
  const isAway =
    status === tooManyRequests || (status ?? 0) >= serverErrors || (status === undefined && code !== undefined)
  return new StrataError(isAway ? 'E_KEY_PROVIDER_AWAY' : 'E_KEY_PROVIDER', `Azure Key Vault, ${what}`, {
    cause: error,
  })
}

/** Key Vault says 403 of these as well, whatever one may do. */
const disabledKey = 'disabled key'

/** By the vault; or by whoever gives the tokens, or because no credential of the chain could even be tried. */
function isRefusal(status: number | undefined, name: string): boolean {
  const names = ['AuthenticationError', 'AggregateAuthenticationError', 'CredentialUnavailableError']
  return status === forbidden || status === unauthorized || names.includes(name)
}

function answerOf(error: unknown): { status: number | undefined; code: string | undefined } {
  const { statusCode, code } = (error ?? {}) as { statusCode?: unknown; code?: unknown }
  return {
    status: typeof statusCode === 'number' ? statusCode : undefined,
    code: typeof code === 'string' ? code : undefined,
  }
}
