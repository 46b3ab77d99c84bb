/**
 * The layers, as rules. Folder = layer: what a folder may import says what it is about.
 *
 *   shared: base (errors, limits, types, clock, names) ← format (bytes, no I/O) ← store, keys ← repository
 *                                                                             store ← staging
 *   agent → shared;  workers → shared, agent;  test → all;  infra, scripts → nobody
 */
const base = '^shared/src/(errors|limits|types|clock|set-name|endpoint-name|disk-name|threads)\\.ts$'
/** Where a process or a thread begins; the latter are loaded by their URL. */
const programs = ['^workers/bin/', '/main\\.ts$', '-thread\\.ts$', '-process\\.ts$']
/** Tests may reach up and across for the parts they put together. */
const tests = '\\.test\\.ts$'

/** Node's own modules that touch the outside world; node:crypto, node:zlib and node:buffer do not. */
const inputAndOutput =
  '^(node:)?(fs|fs/promises|net|http|https|http2|tls|dgram|dns|child_process|worker_threads|cluster|readline|os|process)$'

/**
 * @typedef {import('dependency-cruiser').IRegularForbiddenRuleType} Rule
 * @param {string} name
 * @param {string} comment why the rule is there
 * @param {Rule['from']} from
 * @param {Rule['to']} to
 * @returns {Rule}
 */
const forbid = (name, comment, from, to) => ({ name, comment, severity: 'error', from, to })

/** @type {import('dependency-cruiser').IConfiguration} */
export default {
  forbidden: [
    forbid('no-circles', 'Two files that need each other are one thing, or hide a third.', {}, { circular: true }),
    forbid(
      'no-orphans',
      'Nothing imports this file and it imports nothing: it is forgotten, or not wired up yet.',
      {
        orphan: true,
        pathNot: [
          tests,
          '\\.d\\.ts$',
          '^shared/src/limits\\.ts$',
          '^scripts/setup/no-services/',
          '^test/(end-to-end|faults)/preload/',
        ],
      },
      {},
    ),
    {
      name: 'no-forgotten-files',
      comment: 'Neither a program nor a test gets here.',
      severity: 'error',
      from: { path: [...programs, '^test/', tests] },
      to: { path: '^(shared|agent|workers)/src/', pathNot: [...programs, tests], reachable: false },
    },
    forbid('no-unresolvable', 'An import that leads nowhere.', {}, { couldNotResolve: true }),
    forbid(
      'declared-packages-only',
      'A package must be in the dependencies of the workspace that imports it.',
      { path: '^(shared|agent|workers|infra)/', pathNot: tests },
      { dependencyTypes: ['npm-dev', 'npm-no-pkg', 'npm-unknown'] },
    ),

    forbid(
      'shared-imports-no-sibling',
      'shared is what the others share.',
      { path: '^shared/' },
      { path: '^(agent|workers|infra|test|scripts)/' },
    ),
    forbid(
      'agent-imports-shared-only',
      'The agent is thin: it runs on the machines of customers.',
      { path: '^agent/' },
      { path: '^(workers|infra|test|scripts)/' },
    ),
    forbid(
      'agent-has-no-queue-and-no-store',
      'The agent holds no store credentials and knows no Redis.',
      { path: '^agent/' },
      { path: '(^|/)node_modules/(bullmq|ioredis|@aws-sdk|@azure)/' },
    ),
    forbid(
      'workers-import-shared-and-agent-only',
      'Tests and infrastructure know the workers, never the other way round.',
      { path: '^workers/' },
      { path: '^(infra|test|scripts)/' },
    ),
    forbid(
      'infra-stands-alone',
      'Infrastructure is described, not computed from the program.',
      { path: '^infra/' },
      { path: '^(shared|agent|workers|test|scripts)/' },
    ),
    forbid(
      'scripts-stand-alone',
      'Set-up runs before anything is installed.',
      { path: '^scripts/' },
      { path: '^(shared|agent|workers|infra|test)/|node_modules' },
    ),
    forbid(
      'launcher-stands-alone',
      'The bin launcher runs on an old Node, before anything is installed; it may only start src/cli.',
      { path: '^workers/bin/' },
      { pathNot: '^workers/src/cli/main\\.ts$', dependencyTypesNot: ['core'] },
    ),

    forbid(
      'base-is-the-bottom',
      'errors, limits, types, clock and the rules for names import only each other.',
      { path: base },
      { path: '^shared/', pathNot: base },
    ),
    forbid(
      'format-imports-base-only',
      'The format is pure bytes: whoever reads it needs nothing else.',
      { path: '^shared/src/format/', pathNot: tests },
      { path: '^shared/src/', pathNot: [base, '^shared/src/format/'] },
    ),
    forbid(
      'format-does-no-input-or-output',
      'Codecs get bytes and give bytes.',
      { path: '^shared/src/format/', pathNot: tests },
      { path: inputAndOutput },
    ),
    forbid(
      'system-knows-the-machine-only',
      'What Node does not offer of the operating system, for whoever needs it.',
      { path: '^shared/src/system/', pathNot: tests },
      { path: '^(shared|agent|workers)/', pathNot: '^shared/src/system/' },
    ),
    forbid(
      'store-is-below-repository-and-knows-no-keys',
      'A store moves bytes that it cannot read.',
      { path: '^shared/src/store/', pathNot: tests },
      { path: '^shared/src/', pathNot: [base, '^shared/src/(format|store|system)/'] },
    ),
    forbid(
      'staging-is-store-and-signatures',
      'What is staged is sealed: nothing here opens it, and no repository is needed to move it.',
      { path: '^shared/src/staging/', pathNot: tests },
      { path: '^shared/src/', pathNot: [base, '^shared/src/(format|store|staging)/'] },
    ),
    forbid(
      'repository-knows-no-staging',
      'A point never needs what is staged.',
      { path: '^shared/src/(keys|repository|policy)/' },
      { path: '^shared/src/staging/' },
    ),
    forbid(
      'keys-are-below-repository',
      'Keys may be kept in a store, and know nothing of points.',
      { path: '^shared/src/keys/', pathNot: tests },
      { path: '^shared/src/', pathNot: [base, '^shared/src/(format|store|keys)/'] },
    ),
    forbid(
      'repository-knows-no-queue-and-no-protocol',
      'A bucket and a key are enough.',
      { path: '^shared/src/repository/', pathNot: tests },
      { path: '^shared/src/(protocol|queue)/' },
    ),
    forbid(
      'lifecycle-is-pure',
      'What rules should be, and what they could do, are functions of what they are given.',
      { path: '^shared/src/lifecycle/', pathNot: tests },
      {
        path: [inputAndOutput, '^shared/src/'],
        pathNot: [base, '^shared/src/(format|policy|lifecycle)/', '^shared/src/repository/retention/retired\\.ts$'],
      },
    ),
    forbid(
      'cost-is-pure',
      'What something costs, or will cost, is a function of what it is given.',
      { path: '^shared/src/cost/', pathNot: tests },
      {
        path: [inputAndOutput, '^shared/src/'],
        pathNot: [
          base,
          '^shared/src/(format|policy|lifecycle|cost)/',
          // Types only.
          '^shared/src/store/(store-requests|archive/archive-access)\\.ts$',
        ],
      },
    ),
    forbid(
      'policy-is-pure',
      'Decisions about retention are functions of what they are given.',
      { path: '^shared/src/policy/', pathNot: tests },
      { path: inputAndOutput },
    ),
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    exclude: { path: ['cdk\\.out'] },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    combinedDependencies: false,
    enhancedResolveOptions: { exportsFields: ['exports'], conditionNames: ['import', 'node', 'default', 'types'] },
  },
}
