import { invariant } from './errors.ts'

/** Ids that must not be mixed up are different types; `asId` and `idFromBytes` are the only casts. */
declare const brand: unique symbol
type Branded<T, Name extends string> = T & { readonly [brand]: Name }

/** 16 random bytes, written as 32 lower-case hex digits. */
export type Id = string
export type TenantId = Branded<Id, 'TenantId'>
export type SetId = Branded<Id, 'SetId'>
export type ChainId = Branded<Id, 'ChainId'>
/** A session and the point that it becomes share one id. */
export type SessionId = Branded<Id, 'SessionId'>
export type KeyId = Branded<Id, 'KeyId'>
export type EndpointId = Branded<Id, 'EndpointId'>
export type EnrolmentTokenId = Branded<Id, 'EnrolmentTokenId'>

export const idBytes = 16
const idPattern = /^[0-9a-f]{32}$/

export function isId(value: string): boolean {
  return idPattern.test(value)
}

/** Names `value` an id of the wanted type after checking its form. */
export function asId<T extends Id>(value: string): T {
  invariant(isId(value), `'${value.slice(0, 80)}' is not an id`)
  return value as T
}

export function idFromBytes<T extends Id>(bytes: Uint8Array): T {
  invariant(bytes.length === idBytes, `an id has ${String(idBytes)} bytes, not ${String(bytes.length)}`)
  return Buffer.from(bytes).toString('hex') as T
}

export function idToBytes(id: Id): Uint8Array {
  invariant(isId(id), 'an id has 32 hex digits')
  return new Uint8Array(Buffer.from(id, 'hex'))
}
