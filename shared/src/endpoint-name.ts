import { StrataError } from './errors.ts'
import { endpointNameCharsMax } from './limits.ts'
import { nameOrNone } from './set-name.ts'

/** Parts the name of an endpoint from what tells its sets apart: `web1@data`. */
const separator = '@'

/** What an endpoint may be called: as a set, without `@`. Gives the name in NFC. */
export function requireEndpointName(name: string): string {
  const normal = nameOrNone(name, endpointNameCharsMax)
  if (normal === undefined || normal.includes(separator)) {
    throw new StrataError(
      'E_ENDPOINT_NAME',
      `${JSON.stringify(name.slice(0, endpointNameCharsMax))} cannot be the name of an endpoint: 1 to ${String(endpointNameCharsMax)} characters, none of them '@', ':', '/' or a control character, no space at either end`,
    )
  }
  return normal
}

/** Whose set it is, by its name: `web1` of `web1` and of `web1@data`. */
export function endpointOfSet(setName: string): string {
  const [endpoint = ''] = setName.split(separator, 1)
  return endpoint
}
