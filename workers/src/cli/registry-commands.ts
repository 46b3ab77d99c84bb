import type { Command } from 'commander'
import { StrataError } from '@strata/shared/errors.ts'
import type { Repository } from '@strata/shared/repository/repository.ts'
import type { Context, ExitCode } from './context.ts'
import { tenantOption, type Run } from './command.ts'
import type { EndpointListOptions, EndpointRevokeOptions } from './commands/endpoint.ts'
import type { PolicyRegistry } from './commands/policy.ts'
import type { TokenCreateOptions, TokenOptions } from './commands/token.ts'
import {
  endpointHelp,
  endpointListHelp,
  endpointRevokeHelp,
  endpointShowHelp,
  policyApplyHelp,
  policyExplainHelp,
  policyHelp,
  policyShowHelp,
  tokenCreateHelp,
  tokenHelp,
  tokenListHelp,
  tokenRevokeHelp,
} from './help-registry.ts'

/** The commands for endpoints, and for the tokens that machines become endpoints by. */
export function addRegistryCommands(program: Command, run: Run): void {
  const token = program
    .command('token')
    .description('enrolment tokens: what lets a machine become an endpoint')
    .addHelpText('after', tokenHelp)
  addTokenCreate(token, run)
  addTokenList(token, run)
  addTokenRevoke(token, run)
  addPolicy(program, run)
  const endpoint = program
    .command('endpoint')
    .description('the machines whose agents may make backups')
    .addHelpText('after', endpointHelp)
  addEndpointList(endpoint, run)
  addEndpointShow(endpoint, run)
  addEndpointRevoke(endpoint, run)
}

function addTokenCreate(token: Command, run: Run): void {
  token
    .command('create')
    .description('make an enrolment token, and show it once')
    .option('--expires <duration>', 'how long it is good for: 30m, 24h, 7d', '24h')
    .option('--uses <count>', 'how many machines it is good for', '1')
    .option('--endpoint <id>', 'only for this endpoint, which gets a new key by it')
    .option('--note <text>', 'what it is for')
    .option(...tenantOption)
    .addHelpText('after', tokenCreateHelp)
    .action((options: TokenCreateOptions, command: Command) =>
      run(command, async (context) => {
        const { createToken } = await import('./commands/token.ts')
        return await createToken(context, options)
      }),
    )
}

function addTokenList(token: Command, run: Run): void {
  token
    .command('list')
    .description('list the enrolment tokens there are')
    .option(...tenantOption)
    .addHelpText('after', tokenListHelp)
    .action((options: TokenOptions, command: Command) =>
      run(command, async (context) => {
        const { listTokens } = await import('./commands/token.ts')
        return await listTokens(context, options)
      }),
    )
}

function addTokenRevoke(token: Command, run: Run): void {
  token
    .command('revoke')
    .description('make an enrolment token worthless')
    .argument('<id>', 'as token list shows it')
    .option(...tenantOption)
    .addHelpText('after', tokenRevokeHelp)
    .action((id: string, options: TokenOptions, command: Command) =>
      run(command, async (context) => {
        const { revokeToken } = await import('./commands/token.ts')
        return await revokeToken(context, id, options)
      }),
    )
}

function addEndpointList(endpoint: Command, run: Run): void {
  endpoint
    .command('list')
    .description('list the endpoints there are')
    .option(...tenantOption)
    .addHelpText('after', endpointListHelp)
    .action((options: EndpointListOptions, command: Command) =>
      run(command, async (context) => {
        const { listEndpoints } = await import('./commands/endpoint.ts')
        return await listEndpoints(context, options)
      }),
    )
}

function addEndpointShow(endpoint: Command, run: Run): void {
  endpoint
    .command('show')
    .description('tell all of one endpoint')
    .argument('<id>', 'as endpoint list shows it')
    .option(...tenantOption)
    .addHelpText('after', endpointShowHelp)
    .action((id: string, options: EndpointListOptions, command: Command) =>
      run(command, async (context) => {
        const { showEndpoint } = await import('./commands/endpoint.ts')
        return await showEndpoint(context, id, options)
      }),
    )
}

function addEndpointRevoke(endpoint: Command, run: Run): void {
  endpoint
    .command('revoke')
    .description('refuse an endpoint from now on, for good')
    .argument('<id>', 'as endpoint list shows it')
    .option('--note <text>', 'why, in the place of the note that it has')
    .option(...tenantOption)
    .addHelpText('after', endpointRevokeHelp)
    .action((id: string, options: EndpointRevokeOptions, command: Command) =>
      run(command, async (context) => {
        const { revokeGivenEndpoint } = await import('./commands/endpoint.ts')
        return await revokeGivenEndpoint(context, id, options)
      }),
    )
}

function addPolicy(program: Command, run: Run): void {
  const policy = program
    .command('policy')
    .description('when endpoints back up, and what is kept of it')
    .addHelpText('after', policyHelp)
  policy
    .command('apply')
    .description('make a file the policy from now on')
    .argument('<file>', 'JSON or YAML; docs/policies.md has its members')
    .option(...tenantOption)
    .addHelpText('after', policyApplyHelp)
    .action((file: string, options: PolicyOptions, command: Command) =>
      run(command, async (context) => {
        const { policyApply } = await import('./commands/policy.ts')
        return await withPolicies(context, options.tenant, (registry) => policyApply(context, registry, file))
      }),
    )
  policy
    .command('show')
    .description('show the policy, and what it means')
    .option(...tenantOption)
    .addHelpText('after', policyShowHelp)
    .action((options: PolicyOptions, command: Command) =>
      run(command, async (context) => {
        const { policyShow } = await import('./commands/policy.ts')
        return await withPolicies(context, options.tenant, (registry) => policyShow(context, registry))
      }),
    )
  policy
    .command('explain')
    .description('show when an endpoint runs next, or why points are kept')
    .argument('[endpoint]', 'its id')
    .option('--set <name>', 'why each point of this set is kept or goes, and when')
    .option(...tenantOption)
    .addHelpText('after', policyExplainHelp)
    .action((endpoint: string | undefined, options: PolicyExplainOptions, command: Command) =>
      run(command, async (context) => await explain(context, endpoint, options)),
    )
}

interface PolicyOptions {
  readonly tenant?: string
}

interface PolicyExplainOptions extends PolicyOptions {
  readonly set?: string
}

async function explain(
  context: Context,
  endpoint: string | undefined,
  { set, tenant }: PolicyExplainOptions,
): Promise<ExitCode> {
  if (set !== undefined && endpoint === undefined) {
    const { policyExplainSet } = await import('./commands/policy-set.ts')
    return await withPolicies(context, tenant, async (policies, repository) =>
      policyExplainSet(context, repository, await policies.latest(), set),
    )
  }
  if (set !== undefined || endpoint === undefined) {
    throw new StrataError('E_USAGE', 'policy explain takes either the id of an endpoint or --set NAME')
  }
  const { policyExplain } = await import('./commands/policy.ts')
  const { timeZone } = Intl.DateTimeFormat().resolvedOptions()
  return await withPolicies(context, tenant, (policies) => policyExplain(context, policies, endpoint, timeZone))
}

async function withPolicies(
  context: Context,
  tenant: string | undefined,
  work: (policies: PolicyRegistry, repository: Repository) => Promise<ExitCode>,
): Promise<ExitCode> {
  const { withRegistry } = await import('./registry.ts')
  const { appendPolicy, latestPolicy } = await import('@strata/shared/repository/registry/policies.ts')
  return await withRegistry(context, tenant, (registry) =>
    work(
      {
        latest: async () => {
          const found = await latestPolicy(registry)
          return found === undefined ? undefined : { version: found.version, policy: found.document.body }
        },
        append: (policy) => appendPolicy(registry, policy),
        lockability: () => registry.repository.store.lockability(),
      },
      registry.repository,
    ),
  )
}
