import * as v from 'valibot'
import { boxKinds } from './box.ts'
import { documentHead, idSchema, instantSchema } from './document.ts'
import type { RegistryType } from './registry-type.ts'
import type { Fitting } from './schema.ts'

/**
 * A policy of a tenant, as it was written (docs/policies.md): whoever keeps it may be older than who wrote it, and does
 * not judge it. docs/format.md, "Registry documents".
 */
export const tenantPolicySchema = v.object({
  ...documentHead('tenant-policy', 1),
  policy: idSchema,
  body: v.record(v.string(), v.unknown()),
  /** By the store's clock. */
  createdAt: instantSchema,
})
export type TenantPolicy = Fitting<typeof tenantPolicySchema>

export const tenantPolicyType = {
  kind: boxKinds.registry,
  title: 'tenant-policy',
  version: 1,
  schema: tenantPolicySchema,
  folder: 'policies',
  idOf: ({ policy }) => policy,
} satisfies RegistryType<typeof tenantPolicySchema>
