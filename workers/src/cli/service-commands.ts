import { Option, type Command } from 'commander'
import type { Run } from './command.ts'
import type { AgentRunOptions, EnrollOptions } from './commands/agent.ts'
import type { ServeOptions } from './commands/serve.ts'
import { agentEnrollHelp, agentHelp, agentRunHelp, serveHelp } from './help-service.ts'

/** The service, and the agents that talk to it. */
export function addServiceCommands(program: Command, run: Run): void {
  addServe(program, run)
  const agent = program
    .command('agent')
    .description('backups of this machine by way of a service')
    .addHelpText('after', agentHelp)
  addAgentEnroll(agent, run)
  addAgentRun(agent, run)
}

function addServe(program: Command, run: Run): void {
  program
    .command('serve')
    .description('run a process of the service: gateway, workers, or some of them')
    .option('--listen <host:port>', 'where agents find the gateway', '127.0.0.1:7420')
    .option('--roles <list>', 'gateway, ingest, commit, maintain (default: all)')
    .option('--staging <url>', 'bucket or container for segments on their way (or STRATA_STAGING)')
    .option('--tls-cert <path>', 'certificate of the gateway, PEM')
    .option('--tls-key <path>', 'its private key, PEM')
    .addHelpText('after', serveHelp)
    .action((options: ServeOptions, command: Command) =>
      run(command, async (context) => {
        const { serve } = await import('./commands/serve.ts')
        return await serve(context, options)
      }),
    )
}

function addAgentEnroll(agent: Command, run: Run): void {
  agent
    .command('enroll')
    .description('make this machine an endpoint of a service')
    .requiredOption('--service <url>', 'address of the service')
    .option('--token <line>', 'the enrolment token (or STRATA_ENROLMENT_TOKEN)')
    .option('--name <name>', "the endpoint's name (default: the name of this machine)")
    .option('--ca <path>', 'certificates to trust beside those that this machine trusts, PEM')
    .option('--proxy <url>', 'proxy on the way to the service')
    .addHelpText('after', agentEnrollHelp)
    .action((options: EnrollOptions, command: Command) =>
      run(command, async (context) => {
        const { enroll } = await import('./commands/agent.ts')
        return await enroll(context, options)
      }),
    )
}

function addAgentRun(agent: Command, run: Run): void {
  agent
    .command('run')
    .description('back up disks of this machine, once or by schedule')
    .argument('<source...>', 'image file or block device: PATH or NAME=PATH')
    .option('--set <name>', 'a set of its own, named ENDPOINT@NAME')
    .addOption(new Option('--full', 'start a new chain').conflicts('differential'))
    .option('--differential', "build on the chain's full, not on the last point")
    .option('--block-size <size>', 'for a new chain: 64K to 4M, a power of two')
    .option('--allow-changing', 'keep a point of disks that change while they are read, marked as such')
    .option('--loop', "by the policy's schedule, until it is interrupted")
    .addHelpText('after', agentRunHelp)
    .action((sources: string[], options: AgentRunOptions, command: Command) =>
      run(command, async (context) => {
        const { runAgent } = await import('./commands/agent.ts')
        return await runAgent(context, sources, options)
      }),
    )
}
