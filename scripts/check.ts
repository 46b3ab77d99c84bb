/** `npm run check`: every check that needs no server, as turbo tasks, so that what has not changed is not repeated. */
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { projectRoot } from './pinned-node.mjs'

const tasks = ['format:check', 'lint', 'types', 'layers', 'unused', 'synth']

const { status } = spawnSync(
  join(projectRoot, 'node_modules/.bin/turbo'),
  ['run', ...tasks, '--continue', '--output-logs=new-only', ...process.argv.slice(2)],
  {
    cwd: projectRoot,
    // Nothing that runs here may talk to anybody: no usage reports, no look for newer versions.
    env: { ...process.env, TURBO_TELEMETRY_DISABLED: '1', DO_NOT_TRACK: '1', TURBO_NO_UPDATE_NOTIFIER: '1' },
    stdio: 'inherit',
  },
)
process.exitCode = status ?? 1
