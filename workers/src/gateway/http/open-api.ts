import swagger from '@fastify/swagger'
import type { FastifyInstance } from 'fastify'
import { protocolVersion, type Route } from '@strata/shared/protocol/routes.ts'
import { errorAnswerSchema } from '@strata/shared/protocol/wire.ts'
import { jsonSchemaOf } from './schemas.ts'

/** The gateway describes itself: the routes of the table, as OpenAPI. */
export async function describeItself(server: FastifyInstance): Promise<void> {
  await server.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: { title: 'Strata gateway', version: String(protocolVersion), description: 'For agents of endpoints.' },
      components: {
        securitySchemes: {
          endpoint: {
            type: 'http',
            scheme: 'strata',
            description: 'A token for exactly this request, signed by the agent.',
          },
        },
      },
    },
  })
  server.get('/v1/openapi.json', { schema: { hide: true } }, () => server.swagger())
}

const errorAnswer = jsonSchemaOf(errorAnswerSchema)

export function descriptionOf(route: Route): object {
  const { summary, params, query, body, answer, status, who } = route
  const content = (type: string, schema: object): object => ({ content: { [type]: { schema } } })
  const answers =
    typeof answer === 'object'
      ? { description: summary, ...content('application/json', jsonSchemaOf(answer)) }
      : answer === 'nothing'
        ? { description: summary, type: 'null' }
        : {
            description: summary,
            ...content(answer === 'bytes' ? 'application/octet-stream' : 'text/event-stream', { type: 'string' }),
          }
  return {
    summary,
    ...(who === 'endpoint' ? { security: [{ endpoint: [] }] } : {}),
    ...(params === undefined ? {} : { params: jsonSchemaOf(params) }),
    ...(query === undefined ? {} : { querystring: jsonSchemaOf(query) }),
    ...(typeof body === 'object' ? { body: content('application/json', jsonSchemaOf(body)) } : {}),
    ...(body === 'segment' ? { body: content('application/octet-stream', { type: 'string', format: 'binary' }) } : {}),
    response: { [status]: answers, default: { description: 'Why not.', ...content('application/json', errorAnswer) } },
  }
}
