import type { S3ClientConfig } from '@aws-sdk/client-s3'
import { storeConnectTimeoutMs } from '../limits.ts'
import { variable } from './environment.ts'
import type { Environment } from './environment.ts'
import { httpAgents } from './http-transfer.ts'
import type { S3Location } from './store-url.ts'
import { parseEndpoint, parseRegion } from './store-url.ts'

/** Without one the SDK writes to the console that it cannot repeat a stream, which it is not asked to. */
const silentLogger = { debug: ignore, info: ignore, warn: ignore, error: ignore }

function ignore(): void {
  // What fails is thrown as well.
}

/** How the SDK is set up for a store. @param env where endpoint, region and keys are looked up */
export function s3ClientConfig(location: S3Location, env: Environment): S3ClientConfig {
  const given = (...names: readonly string[]): string | undefined =>
    names.map((name) => variable(env, name)).find((value) => value !== undefined)
  const endpoint = location.endpoint ?? parseEndpoint(given('AWS_ENDPOINT_URL_S3', 'AWS_ENDPOINT_URL'))
  // Servers at an endpoint of their own seldom have regions, but a signature always names one.
  const region = location.region ?? parseRegion(given('AWS_REGION', 'AWS_DEFAULT_REGION')) ?? (endpoint && 'us-east-1')
  const accessKeyId = given('AWS_ACCESS_KEY_ID')
  const secretAccessKey = given('AWS_SECRET_ACCESS_KEY')
  const sessionToken = given('AWS_SESSION_TOKEN')
  const hasKeys = accessKeyId !== undefined && secretAccessKey !== undefined
  const agents = httpAgents()
  return {
    ...(endpoint === undefined ? {} : { endpoint }),
    ...(region === undefined ? {} : { region }),
    ...(hasKeys
      ? { credentials: { accessKeyId, secretAccessKey, ...(sessionToken === undefined ? {} : { sessionToken }) } }
      : {}),
    forcePathStyle: location.pathStyle ?? endpoint !== undefined,
    maxAttempts: 1,
    logger: silentLogger,
    requestChecksumCalculation: location.checksums === 'when_required' ? 'WHEN_REQUIRED' : 'WHEN_SUPPORTED',
    responseChecksumValidation: location.checksums === 'when_required' ? 'WHEN_REQUIRED' : 'WHEN_SUPPORTED',
    // With it the SDK opens a new connection for every larger object.
    expectContinueHeader: false,
    requestHandler: {
      httpAgent: agents.http,
      httpsAgent: agents.https,
      connectionTimeout: storeConnectTimeoutMs,
      // Idleness is watched by withIdleLimit.
      socketTimeout: 0,
      requestTimeout: 0,
    },
  }
}
