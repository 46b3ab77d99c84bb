import * as v from 'valibot'
import { enrolmentUsesMax, noteCharsMax } from '../limits.ts'
import { boxKinds } from './box.ts'
import { documentHead, idSchema, instantSchema } from './document.ts'
import type { RegistryType } from './registry-type.ts'
import { hexText, text, wholeNumber, type Fitting } from './schema.ts'

/** What lets a machine become an endpoint. docs/format.md, "Registry documents". */
export const enrolmentTokenSchema = v.object({
  ...documentHead('enrolment-token', 1),
  token: idSchema,
  /** SHA-256 of the secret; the secret itself is shown once and kept nowhere. */
  secretHash: hexText(32),
  /** Both by the store's clock. */
  createdAt: instantSchema,
  expiresAt: instantSchema,
  usesMax: wholeNumber(1, enrolmentUsesMax),
  /** The only endpoint that it is good for; null: for new ones. */
  endpoint: v.nullable(idSchema),
  note: text({ charsMax: noteCharsMax }),
  revoked: v.boolean(),
})
export type EnrolmentTokenDocument = Fitting<typeof enrolmentTokenSchema>

export const enrolmentTokenType = {
  kind: boxKinds.registry,
  title: 'enrolment-token',
  version: 1,
  schema: enrolmentTokenSchema,
  folder: 'tokens',
  idOf: ({ token }) => token,
} satisfies RegistryType<typeof enrolmentTokenSchema>

/** One use of a token. Uses are numbered as versions are: whoever creates number n has the n-th. */
export const tokenUseSchema = v.object({
  ...documentHead('token-use', 1),
  token: idSchema,
  /** Token and public key in one: an enrolment that is repeated finds its own use by it. */
  enrolment: idSchema,
  endpoint: idSchema,
  usedAt: instantSchema,
})

export const tokenUseType = {
  kind: boxKinds.registry,
  title: 'token-use',
  version: 1,
  schema: tokenUseSchema,
  folder: 'token-uses',
  idOf: ({ token }) => token,
} satisfies RegistryType<typeof tokenUseSchema>
