import { claimType, endpointType, type claimSchema, type endpointSchema } from '../../format/endpoint.ts'
import {
  enrolmentTokenType,
  tokenUseType,
  type enrolmentTokenSchema,
  type tokenUseSchema,
} from '../../format/enrolment-token.ts'
import { tenantPolicyType, type tenantPolicySchema } from '../../format/tenant-policy.ts'
import type { Repository } from '../repository.ts'
import { VersionedDocuments } from './versioned.ts'

/** Who may do what for a tenant: its endpoints, and the tokens that machines become endpoints by. */
export class Registry {
  readonly repository: Repository
  readonly endpoints: VersionedDocuments<typeof endpointSchema>
  readonly tokens: VersionedDocuments<typeof enrolmentTokenSchema>
  readonly uses: VersionedDocuments<typeof tokenUseSchema>
  readonly claims: VersionedDocuments<typeof claimSchema>
  readonly policies: VersionedDocuments<typeof tenantPolicySchema>

  constructor(repository: Repository) {
    this.repository = repository
    this.endpoints = new VersionedDocuments(repository, endpointType)
    this.tokens = new VersionedDocuments(repository, enrolmentTokenType)
    this.uses = new VersionedDocuments(repository, tokenUseType)
    this.claims = new VersionedDocuments(repository, claimType)
    this.policies = new VersionedDocuments(repository, tenantPolicyType)
  }
}

export function instant(ms: number): string {
  return new Date(ms).toISOString()
}
