import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { chmod, lchown, mkdir, mkdtemp, readdir, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { createRunDirectory } from './run-directory.ts'

/** A directory that everybody may write to, as /tmp and /dev/shm are. */
async function sharedDirectory(t: TestContext): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'strata-shared-'))
  t.after(() => rm(directory, { recursive: true }))
  await chmod(directory, 0o1777)
  return directory
}

/** What the names of a run's directories begin with whose process has ended. */
async function nameOfDeadRun(parent: string): Promise<string> {
  const own = await createRunDirectory(parent)
  await own.remove()
  const { pid } = spawnSync(process.execPath, ['--version'])
  return basename(own.path)
    .replace(String(process.pid), String(pid))
    .replace(/[^-]+$/, '')
}

test('what a killed run has left goes with the next one, and a running one keeps its own', async (t) => {
  const parent = await sharedDirectory(t)
  const dead = join(parent, `${await nameOfDeadRun(parent)}x`)
  await mkdir(dead, { mode: 0o700 })
  await writeFile(join(dead, 'segment'), 'plain')
  const first = await createRunDirectory(parent)
  const second = await createRunDirectory(parent)
  assert.deepEqual((await readdir(parent)).sort(), [basename(first.path), basename(second.path)].sort())
})

test('of the same name, links, files and directories that others may enter are no left-overs', async (t) => {
  const parent = await sharedDirectory(t)
  const name = await nameOfDeadRun(parent)
  const victim = join(parent, 'victim')
  await mkdir(victim)
  await writeFile(join(victim, 'precious'), '')
  await symlink(victim, join(parent, `${name}link`))
  await writeFile(join(parent, `${name}file`), '')
  await mkdir(join(parent, `${name}open`))
  await chmod(join(parent, `${name}open`), 0o755)
  const before = await readdir(parent, { recursive: true })
  const run = await createRunDirectory(parent)
  await run.remove()
  assert.deepEqual(await readdir(parent, { recursive: true }), before)
})

const skip = process.geteuid?.() === 0 ? false : 'only root can give a directory to another user'
test("another user's directory is theirs to remove", { skip }, async (t) => {
  const parent = await sharedDirectory(t)
  const theirs = join(parent, `${await nameOfDeadRun(parent)}x`)
  await mkdir(theirs, { mode: 0o700 })
  await writeFile(join(theirs, 'precious'), '')
  await lchown(theirs, 65534, 65534)
  const run = await createRunDirectory(parent)
  await run.remove()
  assert.deepEqual(await readdir(theirs), ['precious'])
})
