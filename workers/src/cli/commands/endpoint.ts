import type { Endpoint } from '@strata/shared/format/endpoint.ts'
import { findEndpoint, revokeEndpoint } from '@strata/shared/repository/registry/endpoints.ts'
import { isUsable, type UnreadableDocument, type Versioned } from '@strata/shared/repository/registry/versioned.ts'
import { exitCodes, stopIfInterrupted, type Context, type ExitCode } from '../context.ts'
import { parseNote } from '../input/note.ts'
import { formatInstant, shownIdChars } from '../output/bytes.ts'
import { printable } from '../output/printable.ts'
import { factLines, tableLines } from '../output/table.ts'
import { compareTexts, requireAllReadable, withRegistry } from '../registry.ts'

export interface EndpointListOptions {
  readonly tenant?: string
}

export interface EndpointRevokeOptions extends EndpointListOptions {
  readonly note?: string
}

/** `strata endpoint list`. */
export async function listEndpoints(context: Context, options: EndpointListOptions): Promise<ExitCode> {
  return await withRegistry(context, options.tenant, async (registry) => {
    const endpoints: Versioned<Endpoint>[] = []
    const unreadable: UnreadableDocument[] = []
    for await (const entry of registry.endpoints.list()) {
      stopIfInterrupted(context.signal)
      if (isUsable(entry)) endpoints.push(entry)
      else unreadable.push(entry)
    }
    endpoints.sort((a, b) => compareTexts(a.document.name, b.document.name))
    context.reporter.result(endpoints.map(described), endpoints.length === 0 ? [] : endpointTable(endpoints))
    if (endpoints.length === 0 && unreadable.length === 0) context.reporter.note('There is no endpoint yet.')
    requireAllReadable(context, 'endpoint', unreadable)
    return exitCodes.success
  })
}

/** An endpoint in --json: its document without what marks it as one. */
function described({ version, document }: Versioned<Endpoint>): object {
  const { strata: _, version: _ofFormat, ...members } = document
  return { ...members, documentVersion: version }
}

function endpointTable(endpoints: readonly Versioned<Endpoint>[]): string[] {
  const rows = endpoints.map(({ id, document: { name, state, machine, enrolledAt, note } }) => [
    id.slice(0, shownIdChars),
    name,
    state,
    machine.hostName,
    formatInstant(enrolledAt),
    note,
  ])
  return tableLines(
    [
      { title: 'ENDPOINT' },
      { title: 'NAME' },
      { title: 'STATE' },
      { title: 'MACHINE' },
      { title: 'ENROLLED' },
      { title: 'NOTE' },
    ],
    rows,
  )
}

/** `strata endpoint show`. */
export async function showEndpoint(
  context: Context,
  reference: string,
  options: EndpointListOptions,
): Promise<ExitCode> {
  return await withRegistry(context, options.tenant, async (registry) => {
    const endpoint = await findEndpoint(registry, reference)
    const { machine, ...document } = endpoint.document
    context.reporter.result(
      described(endpoint),
      factLines([
        ['endpoint', document.endpoint],
        ['name', document.name],
        ['state', document.state],
        ['machine', `${machine.hostName}, ${machine.system}, ${machine.architecture}`],
        ['enrolled', formatInstant(document.enrolledAt)],
        ['changed', `${formatInstant(document.changedAt)}, version ${String(endpoint.version)}`],
        ['public key', document.publicKey],
        ['by token', document.token],
        ['note', document.note],
      ]),
    )
    return exitCodes.success
  })
}

/** `strata endpoint revoke`. */
export async function revokeGivenEndpoint(
  context: Context,
  reference: string,
  options: EndpointRevokeOptions,
): Promise<ExitCode> {
  const note = options.note === undefined ? undefined : parseNote(options.note)
  return await withRegistry(context, options.tenant, async (registry) => {
    const revoked = await revokeEndpoint(registry, await findEndpoint(registry, reference), note)
    const { id, document } = revoked
    const line = `${id.slice(0, shownIdChars)} ('${printable(document.name)}') is revoked`
    context.reporter.result(described(revoked), [line])
    return exitCodes.success
  })
}
