import { readFileSync, readlinkSync, rmSync } from 'node:fs'
import { lstat, mkdtemp, readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { systemErrorCode } from '../errors.ts'

/**
 * A directory for one run, which only this user can enter. It goes with its process, however that ends by itself; of
 * one that is killed the next run removes it, since its name tells the process that it belongs to. Segments are plain
 * there.
 */
export interface RunDirectory {
  readonly path: string
  remove(): Promise<void>
}

const namePattern = /^strata-run-([0-9]+)-([0-9]+)-/

export async function createRunDirectory(parent: string): Promise<RunDirectory> {
  await removeOrphans(parent)
  const path = await mkdtemp(join(parent, `strata-run-${String(process.pid)}-${numberingOfProcesses()}-`))
  const removeAtExit = (): void => {
    rmSync(path, { recursive: true, force: true })
  }
  process.once('exit', removeAtExit)
  const remove = async (): Promise<void> => {
    // First: a disk that hangs here must not hang the end of the process as well.
    process.off('exit', removeAtExit)
    await rm(path, { recursive: true, force: true })
  }
  return { path, remove }
}

async function removeOrphans(parent: string): Promise<void> {
  for (const name of await readdir(parent)) {
    const [, pid, numbering] = namePattern.exec(name) ?? []
    if (pid === undefined || numbering !== numberingOfProcesses() || isRunning(Number(pid))) continue
    const path = join(parent, name)
    if (await isOurs(path)) await rm(path, { recursive: true, force: true })
  }
}

/**
 * Whether a run of this user made it. Others may write to the same parent: what they put there under such a name is
 * theirs, and a link of theirs may lead anywhere. What is ours they can neither exchange, where the parent is sticky as
 * /tmp and /dev/shm are, nor put anything into.
 */
async function isOurs(path: string): Promise<boolean> {
  try {
    const stats = await lstat(path)
    return stats.isDirectory() && stats.uid === (process.geteuid?.() ?? stats.uid) && (stats.mode & othersMode) === 0
  } catch (error) {
    // Another run was quicker.
    if (systemErrorCode(error) === 'ENOENT') return false
    throw error
  }
}

/** mkdtemp gives its owner alone every right. */
const othersMode = process.platform === 'win32' ? 0 : 0o077

/** Containers may share a directory and number their processes each on its own: a number says nothing to another. */
function numberingOfProcesses(): string {
  if (process.platform !== 'linux') return '0'
  return /[0-9]+/.exec(readlinkSync('/proc/self/ns/pid'))?.[0] ?? '0'
}

/** A number that was given to another process by now only keeps a directory a little longer. */
function isRunning(pid: number): boolean {
  try {
    if (process.platform !== 'linux') return process.kill(pid, 0)
    // The state follows the program's name, which may hold anything. One that has ended and only waits for its parent
    // to notice (in some containers for ever) runs no more.
    const [, state] = /.*\) ([A-Za-z])/s.exec(readFileSync(`/proc/${String(pid)}/stat`, 'latin1')) ?? []
    return state !== 'Z' && state !== 'X'
  } catch (error) {
    return isDenied(error)
  }
}

function isDenied(error: unknown): boolean {
  const code = systemErrorCode(error)
  return code === 'EACCES' || code === 'EPERM'
}
