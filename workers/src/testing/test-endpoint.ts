import type { Endpoint } from '@strata/shared/format/endpoint.ts'
import type { EndpointId } from '@strata/shared/types.ts'

/** The document of an endpoint that is active. */
export function testEndpoint(endpoint: EndpointId, publicKey = '0'.repeat(64)): Endpoint {
  return {
    strata: 'endpoint',
    version: 1,
    endpoint,
    name: 'web1',
    publicKey,
    fingerprint: '0'.repeat(64),
    machine: { hostName: 'host', system: 'system', architecture: 'x64' },
    state: 'active',
    token: '0'.repeat(32),
    use: 1,
    enrolledAt: '2026-01-01T00:00:00.000Z',
    changedAt: '2026-01-01T00:00:00.000Z',
    note: '',
  }
}
