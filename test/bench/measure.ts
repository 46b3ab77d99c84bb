import { runTool } from '../fixtures/tool.ts'
import { endedChildrenCpuSeconds, machineCpuSeconds, ProcessTreeWatch, type ProcessPeak } from './process-tree.ts'

export interface Command {
  readonly program: string
  readonly args: readonly string[]
  readonly directory?: string
  readonly env: NodeJS.ProcessEnv
}

/** One run of a program, from its start to its end. */
export interface Measurement {
  readonly seconds: number
  /** User and system time of the program and all that it started. */
  readonly cpuSeconds: number
  /** CPU time that others took meanwhile: how noisy the machine was. */
  readonly othersCpuSeconds: number
  readonly peaks: readonly ProcessPeak[]
  readonly output: string
}

/** Throws a ToolError when the program fails. Nothing else may be started meanwhile. */
export async function measure(command: Command, signal: AbortSignal): Promise<Measurement> {
  const cpuBefore = endedChildrenCpuSeconds()
  const machineBefore = machineCpuSeconds()
  const ownBefore = ownCpuSeconds()
  const startedMs = performance.now()
  let watch: ProcessTreeWatch | undefined
  try {
    const { output } = await runTool(command.program, command.args, {
      env: command.env,
      ...(command.directory === undefined ? {} : { directory: command.directory }),
      signal,
      onStart: (pid) => (watch = new ProcessTreeWatch(pid)),
    })
    const seconds = (performance.now() - startedMs) / 1000
    const cpuSeconds = endedChildrenCpuSeconds() - cpuBefore
    const machine = machineCpuSeconds() - machineBefore
    const others = machine - cpuSeconds - (ownCpuSeconds() - ownBefore)
    return { seconds, cpuSeconds, othersCpuSeconds: Math.max(0, others), peaks: watch?.stop() ?? [], output }
  } finally {
    watch?.stop()
  }
}

function ownCpuSeconds(): number {
  const { user, system } = process.cpuUsage()
  return (user + system) / 1e6
}

/** Reads a file to its end, so that it lies in the page cache, and waits until what was written before is on the disk. */
export async function warmUp(path: string, signal: AbortSignal): Promise<void> {
  await runTool('sync', ['-f', path], { signal })
  await runTool('sh', ['-c', 'cat "$1" > /dev/null', 'sh', path], { signal })
}
