import { readdirSync, readFileSync } from 'node:fs'

/** Peak resident memory of one process, by the kernel's own count (VmHWM). */
export interface ProcessPeak {
  readonly pid: number
  /** Its command line, words divided by spaces. */
  readonly command: string
  readonly peakBytes: number
}

const pollMs = 100
/** Looking for new processes reads the whole of /proc, so it is done less often. */
const pollsPerSearch = 3

/**
 * Watches a process and all that come from it. What a process grows by within the last moment before its end is not
 * seen; the count itself is the kernel's, so a peak between two looks is.
 */
export class ProcessTreeWatch {
  readonly #peaks = new Map<number, ProcessPeak>()
  readonly #timer: NodeJS.Timeout
  readonly #root: number
  #polls = 0

  constructor(root: number) {
    this.#root = root
    this.#timer = setInterval(() => {
      this.#look()
    }, pollMs)
  }

  stop(): ProcessPeak[] {
    clearInterval(this.#timer)
    return [...this.#peaks.values()]
  }

  #look(): void {
    if (this.#polls % pollsPerSearch === 0) this.#search()
    this.#polls += 1
    for (const [pid, peak] of this.#peaks) {
      const peakBytes = peakResidentBytes(pid)
      // A process that has replaced itself by another program (exec) has another command line.
      if (peakBytes !== undefined) this.#peaks.set(pid, { ...peak, command: commandOf(pid), peakBytes })
    }
  }

  #search(): void {
    const parents = parentsOfAll()
    for (const pid of parents.keys()) {
      if (this.#peaks.has(pid) || !this.#isOurs(pid, parents)) continue
      this.#peaks.set(pid, { pid, command: commandOf(pid), peakBytes: 0 })
    }
  }

  #isOurs(pid: number, parents: ReadonlyMap<number, number>): boolean {
    for (let one: number | undefined = pid; one !== undefined && one > 0; one = parents.get(one)) {
      if (one === this.#root) return true
    }
    return false
  }
}

function parentsOfAll(): Map<number, number> {
  const parents = new Map<number, number>()
  for (const name of readdirSync('/proc')) {
    if (!/^[0-9]+$/.test(name)) continue
    const fields = statFields(`/proc/${name}/stat`)
    if (fields !== undefined) parents.set(Number(name), Number(fields[statField.parent]))
  }
  return parents
}

/** Places of fields in /proc/PID/stat after the program's name (proc(5) counts from 1 and counts pid and name). */
const statField = { parent: 1, user: 11, system: 12, childrenUser: 13, childrenSystem: 14 } as const

function statFields(path: string): string[] | undefined {
  const text = readIfThere(path)
  // The name is in parentheses and may hold any character.
  return text?.slice(text.lastIndexOf(')') + 2).split(' ')
}

function peakResidentBytes(pid: number): number | undefined {
  const kibibytes = /^VmHWM:\s+([0-9]+) kB$/m.exec(readIfThere(`/proc/${String(pid)}/status`) ?? '')?.[1]
  return kibibytes === undefined ? undefined : Number(kibibytes) * 1024
}

function commandOf(pid: number): string {
  return (readIfThere(`/proc/${String(pid)}/cmdline`) ?? '').split('\0').join(' ').trim()
}

/** Undefined when the process has ended. */
function readIfThere(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOENT' || code === 'ESRCH') return undefined
    throw error
  }
}

/** Linux counts in hundredths of a second here, on every machine. */
const ticksPerSecond = 100

/** CPU time, user and system, of all children of ours that have ended, and of theirs. */
export function endedChildrenCpuSeconds(): number {
  const fields = statFields('/proc/self/stat') ?? []
  return (Number(fields[statField.childrenUser]) + Number(fields[statField.childrenSystem])) / ticksPerSecond
}

/** CPU time, user and system, of a process that runs. */
export function processCpuSeconds(pid: number): number {
  const fields = statFields(`/proc/${String(pid)}/stat`) ?? []
  return (Number(fields[statField.user]) + Number(fields[statField.system])) / ticksPerSecond
}

/** CPU time that the whole machine has spent on anything since it was started. */
export function machineCpuSeconds(): number {
  const first = (readIfThere('/proc/stat') ?? '').split('\n', 1)[0] ?? ''
  const [user = 0, nice = 0, system = 0, , , interrupt = 0, softInterrupt = 0] = first.split(/\s+/).slice(1).map(Number)
  return (user + nice + system + interrupt + softInterrupt) / ticksPerSecond
}
