import type { Clock } from '@strata/shared/clock.ts'
import { hasCode } from '@strata/shared/errors.ts'
import { invalid, originOf } from '@strata/shared/protocol/request-token.ts'
import { Registry } from '@strata/shared/repository/registry/registry.ts'
import type { Repository } from '@strata/shared/repository/repository.ts'
import type { TenantId } from '@strata/shared/types.ts'
import type { Tenants } from '../../tenants.ts'
import { Authenticator } from '../auth/authenticate.ts'
import { EndpointDirectory } from '../auth/endpoint-directory.ts'
import type { ReplayGuard } from '../auth/replay-guard.ts'
import type { Authenticate } from './server.ts'

export interface AuthenticateParts {
  readonly tenants: Tenants
  readonly replayGuard: ReplayGuard
  readonly clock: Clock
}

const scheme = /^Strata ([\x21-\x7e]+)$/

/** Lets endpoints in by the tokens of their requests. A tenant that is not served here is as unknown as an endpoint. */
export function authenticateWith({ tenants, replayGuard, clock }: AuthenticateParts): Authenticate {
  const authenticators = new Map<TenantId, Authenticator>()
  const authenticatorOf = (repository: Repository): Authenticator => {
    let authenticator = authenticators.get(repository.tenant)
    if (authenticator === undefined) {
      const { endpoints } = new Registry(repository)
      const directory = new EndpointDirectory({ endpoints, clock })
      authenticator = new Authenticator({ directory, replayGuard, clock })
      authenticators.set(repository.tenant, authenticator)
    }
    return authenticator
  }
  return async ({ method, path, authorization }) => {
    const [, token] = scheme.exec(authorization ?? '') ?? []
    if (token === undefined) throw invalid()
    const { endpoint, tenant } = originOf(token)
    const repository = await known(tenants.repositoryOf(tenant))
    const authentic = await authenticatorOf(repository).authenticate(token, {
      endpoint,
      tenant,
      repository: repository.ingestKeys.repositoryId,
      method,
      target: path,
      bodyDigest: 'comes later',
    })
    const { name, fingerprint } = authentic.document
    return { tenant, endpoint, endpointName: name, fingerprint, bodySha256: authentic.bodyDigest }
  }
}

async function known(looking: Promise<Repository>): Promise<Repository> {
  try {
    return await looking
  } catch (error) {
    throw hasCode(error, 'E_TENANT_UNKNOWN') ? invalid(error) : error
  }
}
