import assert from 'node:assert/strict'
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { cp, mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { delimiter, dirname, join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { fileURLToPath } from 'node:url'

const launcher = fileURLToPath(new URL('strata.mjs', import.meta.url))
const nodeModules = dirname(dirname(createRequire(import.meta.url).resolve('node/package.json')))

/** Stands where the real program does, and says what reached it; its types show that TypeScript is run. */
const program = `
const given: string[] = process.argv.slice(2)
const atLeast24: boolean = Number.parseInt(process.versions.node, 10) >= 24
process.on('SIGTERM', () => { process.exit(7) })
process.stdout.write(JSON.stringify({ given, atLeast24 }) + '\\n')
if (given[0] === 'wait') setInterval(() => undefined, 1000)
else process.exitCode = Number(given[0])
`

/** A checkout with nothing in it but the launcher and this program. */
async function makeCheckout(t: TestContext, { installed }: { installed: boolean }): Promise<string> {
  const root = await mkdtemp(join(tmpdir(), 'strata-launcher-'))
  t.after(() => rm(root, { recursive: true }))
  await mkdir(join(root, 'workers/src/cli'), { recursive: true })
  await cp(launcher, join(root, 'workers/bin/strata.mjs'))
  await writeFile(join(root, 'workers/package.json'), '{ "type": "module" }')
  await writeFile(join(root, 'workers/src/cli/main.ts'), program)
  if (installed) await symlink(nodeModules, join(root, 'node_modules'))
  return join(root, 'workers/bin/strata.mjs')
}

/** The pinned one, and the machine's own, which may be older and then takes the other way through the launcher. */
function nodes(): string[] {
  const path = (process.env['PATH'] ?? '').split(delimiter).filter((folder) => !folder.includes('node_modules'))
  const script = 'process.stdout.write(process.execPath)'
  const { stdout } = spawnSync('node', ['-e', script], {
    env: { ...process.env, PATH: path.join(delimiter) },
    encoding: 'utf8',
  })
  return [...new Set([process.execPath, stdout].filter((node) => node !== ''))]
}

test('arguments and exit code pass through, on every Node there is', async (t) => {
  const strata = await makeCheckout(t, { installed: true })
  for (const node of nodes()) {
    const { status, stdout } = spawnSync(node, [strata, '5', 'two words'], { encoding: 'utf8' })
    assert.deepEqual(JSON.parse(stdout), { given: ['5', 'two words'], atLeast24: true }, node)
    assert.equal(status, 5, node)
  }
})

test('a signal reaches the program, whose answer is the launcher’s', async (t) => {
  const strata = await makeCheckout(t, { installed: true })
  for (const node of nodes()) {
    const child = spawn(node, [strata, 'wait'], { stdio: ['ignore', 'pipe', 'inherit'] })
    const exited = once(child, 'exit')
    await once(child.stdout, 'data')
    child.kill('SIGTERM')
    assert.deepEqual(await exited, [7, null], node)
  }
})

test('before anything is installed it says what to do', async (t) => {
  const strata = await makeCheckout(t, { installed: false })
  for (const node of nodes()) {
    const { status, stdout, stderr } = spawnSync(node, [strata, '0'], { encoding: 'utf8' })
    assert.equal(status, 1, node)
    assert.equal(stdout, '', node)
    assert.match(stderr, /not installed.*node scripts\/setup\.mjs/, node)
  }
})
