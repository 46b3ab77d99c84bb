import type { KeyObject } from 'node:crypto'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import * as v from 'valibot'
import type { RandomBytes } from '@strata/shared/clock.ts'
import { hasCode, StrataError, systemErrorCode } from '@strata/shared/errors.ts'
import { documentHead, idSchema, parseDocument } from '@strata/shared/format/document.ts'
import type { EnrolmentToken } from '@strata/shared/format/enrolment-token-text.ts'
import { hexText, text, type Fitting, type Schema } from '@strata/shared/format/schema.ts'
import { readSecretFile, writeSecretFile } from '@strata/shared/keys/secret-file.ts'
import { endpointNameCharsMax, identityFileBytesMax, storeUrlCharsMax } from '@strata/shared/limits.ts'
import { endpointKeyFrom, endpointSeedBytes } from '@strata/shared/protocol/endpoint-key.ts'
import type { RequestSigner } from '@strata/shared/protocol/request-token.ts'
import { asId, type EndpointId, type Id, type TenantId } from '@strata/shared/types.ts'

/**
 * Who this machine is to a service, in two files of the state directory that only their owner may read:
 *
 * - `enrolment.json`: the private key that an enrolment was begun with, before anything was sent. An enrolment whose
 *   answer was lost is repeated with the same key, and finds what it began (shared/repository/registry/enrol.ts).
 * - `identity.json`: the same key, and all that a request needs, once the service has answered.
 *
 * A copy of the files is a second machine with one identity: whoever clones a machine removes them first.
 */
export interface AgentIdentity extends RequestSigner {
  readonly serviceUrl: string
  readonly endpointName: string
  /** Certificates that the service's is checked with besides the usual ones. */
  readonly caFile: string | null
  /** URL of the proxy on the way to the service. */
  readonly proxy: string | null
}

const pathCharsMax = 4096

const identitySchema = v.object({
  ...documentHead('agent-identity', 1),
  serviceUrl: text({ charsMin: 1, charsMax: storeUrlCharsMax }),
  repository: idSchema,
  tenant: idSchema,
  endpoint: idSchema,
  endpointName: text({ charsMin: 1, charsMax: endpointNameCharsMax }),
  privateKey: hexText(endpointSeedBytes),
  caFile: v.nullable(text({ charsMin: 1, charsMax: pathCharsMax })),
  proxy: v.nullable(text({ charsMin: 1, charsMax: storeUrlCharsMax })),
})
const identityType = { title: 'agent-identity', version: 1, schema: identitySchema }

const enrolmentSchema = v.object({
  ...documentHead('agent-enrolment', 1),
  tenant: idSchema,
  token: idSchema,
  privateKey: hexText(endpointSeedBytes),
})
const enrolmentType = { title: 'agent-enrolment', version: 1, schema: enrolmentSchema }

export function identityPath(stateDirectory: string): string {
  return join(stateDirectory, 'identity.json')
}

function enrolmentPath(stateDirectory: string): string {
  return join(stateDirectory, 'enrolment.json')
}

/**
 * E_IDENTITY_MISSING, E_IDENTITY_DAMAGED, E_FORMAT_NEWER; E_CONFIGURATION when the file cannot be read, or others than
 * its owner may read it.
 */
export async function readIdentity(stateDirectory: string): Promise<AgentIdentity> {
  const path = identityPath(stateDirectory)
  const document = await readDocument(identityType, path)
  if (document === undefined) throw new StrataError('E_IDENTITY_MISSING', `there is no identity at ${path}`)
  return {
    serviceUrl: document.serviceUrl,
    repository: asId<Id>(document.repository),
    tenant: asId<TenantId>(document.tenant),
    endpoint: asId<EndpointId>(document.endpoint),
    endpointName: document.endpointName,
    privateKey: keyFrom(document),
    caFile: document.caFile,
    proxy: document.proxy,
  }
}

/** For a command that is about to enrol: there is an identity already: E_IDENTITY_EXISTS. */
export async function requireNoIdentity(stateDirectory: string): Promise<void> {
  const path = identityPath(stateDirectory)
  const document = await readDocument(identityType, path)
  if (document !== undefined) throw exists(path, document.endpointName)
}

/**
 * The private key to enrol with: the one that an enrolment with this token was begun with, or a new one, which is on
 * disk when this resolves. That of another token is replaced: nobody will come back to it.
 */
export async function enrolmentKey(
  stateDirectory: string,
  token: EnrolmentToken,
  random: RandomBytes,
): Promise<KeyObject> {
  const begun = await begunEnrolment(stateDirectory)
  if (begun?.tenant === token.tenant && begun.token === token.id) return keyFrom(begun)
  const privateKey = Buffer.from(random(endpointSeedBytes)).toString('hex')
  const document: Fitting<typeof enrolmentSchema> = {
    strata: 'agent-enrolment',
    version: 1,
    tenant: token.tenant,
    token: token.id,
    privateKey,
  }
  await writeDocument(enrolmentType, enrolmentPath(stateDirectory), document, { overwrite: true })
  return keyFrom(document)
}

/** What the service has answered, and how it was reached. */
export type Enrolled = Omit<AgentIdentity, 'privateKey'>

/**
 * Keeps the identity with the key that its enrolment was begun with, and forgets that there was an enrolment. One that
 * exists stays: E_IDENTITY_EXISTS.
 */
export async function keepIdentity(stateDirectory: string, enrolled: Enrolled): Promise<AgentIdentity> {
  const begun = await begunEnrolment(stateDirectory)
  if (begun === undefined) {
    throw new StrataError('E_IDENTITY_MISSING', `${enrolmentPath(stateDirectory)} has gone: no enrolment was begun`)
  }
  const path = identityPath(stateDirectory)
  const document: Fitting<typeof identitySchema> = {
    strata: 'agent-identity',
    version: 1,
    serviceUrl: enrolled.serviceUrl,
    repository: enrolled.repository,
    tenant: enrolled.tenant,
    endpoint: enrolled.endpoint,
    endpointName: enrolled.endpointName,
    privateKey: begun.privateKey,
    caFile: enrolled.caFile,
    proxy: enrolled.proxy,
  }
  if (!(await writeDocument(identityType, path, document, { overwrite: false }))) {
    throw exists(path, enrolled.endpointName)
  }
  await forgetEnrolment(stateDirectory)
  return { ...enrolled, privateKey: keyFrom(begun) }
}

async function begunEnrolment(stateDirectory: string): Promise<Fitting<typeof enrolmentSchema> | undefined> {
  return await readDocument(enrolmentType, enrolmentPath(stateDirectory))
}

/** The identity has its key by now. */
async function forgetEnrolment(stateDirectory: string): Promise<void> {
  const path = enrolmentPath(stateDirectory)
  try {
    await rm(path, { force: true })
  } catch (error) {
    throw new StrataError('E_STATE_UNWRITABLE', `${path} cannot be removed (${systemErrorCode(error) ?? 'unknown'})`, {
      cause: error,
    })
  }
}

function keyFrom({ privateKey }: { readonly privateKey: string }): KeyObject {
  return endpointKeyFrom(Buffer.from(privateKey, 'hex'))
}

interface FileType<S extends Schema> {
  readonly title: string
  readonly version: number
  readonly schema: S
}

async function readDocument<S extends Schema>(type: FileType<S>, path: string): Promise<Fitting<S> | undefined> {
  const bytes = await readSecretFile(path, {
    what: 'identity',
    bytesMax: identityFileBytesMax,
    tooLong: 'E_IDENTITY_DAMAGED',
  })
  return bytes === undefined ? undefined : parseFile(type, path, bytes)
}

async function writeDocument<S extends Schema>(
  type: FileType<S>,
  path: string,
  document: Fitting<S>,
  options: { readonly overwrite: boolean },
): Promise<boolean> {
  const bytes = Buffer.from(`${JSON.stringify(document, undefined, 2)}\n`, 'utf8')
  parseFile(type, path, bytes)
  return await writeSecretFile(path, bytes, { what: 'identity', ...options })
}

function parseFile<S extends Schema>(type: FileType<S>, path: string, bytes: Uint8Array): Fitting<S> {
  try {
    return parseDocument(type, path, bytes)
  } catch (error) {
    if (!hasCode(error, 'E_FORMAT_DAMAGED', 'E_FORMAT_KIND', 'E_LIMIT')) throw error
    // The cause stays out: a JSON parser's message quotes the text around the fault, and the text holds a key.
    throw new StrataError('E_IDENTITY_DAMAGED', `the file ${path} does not hold a readable identity`)
  }
}

function exists(path: string, name: string): StrataError {
  return new StrataError('E_IDENTITY_EXISTS', `this machine is endpoint '${name}' already: ${path}`)
}
