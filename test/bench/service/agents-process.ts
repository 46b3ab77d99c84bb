import { open, truncate, writeFile, mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { backupSet } from '@strata/agent/backup.ts'
import { readIdentity } from '@strata/agent/identity/agent-identity.ts'
import { connectToService } from '@strata/agent/service/connect.ts'
import { enrolMachine } from '@strata/agent/service/enrol.ts'
import { systemClock, systemRandomBytes } from '@strata/shared/clock.ts'
import { answerParent, ownCost, type ProcessCost } from './answering.ts'
import { TimedUplink } from './timed-uplink.ts'

/**
 * Agents of many machines in one process: each has a state directory, an identity and a disk of its own, and makes its
 * backups as `strata agent run` does.
 */
export interface AgentsProcessOptions {
  readonly directory: string
  readonly serviceUrl: string
  readonly token: string
  /** Names of the endpoints begin with it. */
  readonly prefix: string
  readonly agents: number
  readonly diskBytes: number
  readonly blockBytes: number
  /** That are other bytes before each backup but the first. */
  readonly changedBlocks: number
  readonly atOnce: number
  /** Null: as many as an agent takes on a machine like this. */
  readonly scanThreads: number | null
}

export interface RoundAnswer extends ProcessCost {
  readonly seconds: number
  readonly backups: readonly BackupTimes[]
}

export interface BackupTimes {
  readonly seconds: number
  /** From the last request of the session's data, `end`, to the answer that the point is there. */
  readonly commitSeconds: number
  readonly changedBytes: number
}

export interface RoundQuestion {
  /** Of the process's agents, the first so many; left out: all. */
  readonly agents?: number
  readonly full?: boolean
}

const options = JSON.parse(process.argv[2] ?? '') as AgentsProcessOptions
const { directory, serviceUrl, token, prefix, blockBytes, diskBytes } = options
const names = Array.from({ length: options.agents }, (_, index) => `${prefix}${String(index + 1)}`)
const clock = systemClock
const random = systemRandomBytes
const disk = (name: string): string => join(directory, name, 'disk.img')

async function enrolAll(): Promise<number> {
  const enrol = async (name: string): Promise<string> => {
    const stateDirectory = join(directory, name)
    await mkdir(stateDirectory, { recursive: true, mode: 0o700 })
    await makeDisk(disk(name))
    const machine = { name, machineId: name, caFile: null, proxy: null }
    await enrolMachine({ stateDirectory, serviceUrl, token, ...machine, clock, random })
    return name
  }
  return (await inLanes(names, enrol)).length
}

/** As soon as one is done, the next begins. */
async function inLanes<Result>(items: readonly string[], work: (item: string) => Promise<Result>): Promise<Result[]> {
  const left = items.values()
  const results: Result[] = []
  const lane = async (): Promise<void> => {
    for (const item of left) results.push(await work(item))
  }
  await Promise.all(Array.from({ length: options.atOnce }, lane))
  return results
}

const pieceBytes = 16 * 1024 ** 2

/** Full of bytes that nothing compresses. */
async function makeDisk(path: string): Promise<void> {
  await writeFile(path, '')
  await truncate(path, diskBytes)
  await using file = await open(path, 'r+')
  for (let at = 0; at < diskBytes; at += pieceBytes) {
    await file.write(random(Math.min(pieceBytes, diskBytes - at)), 0, undefined, at)
  }
}

async function changeDisk(path: string): Promise<void> {
  await using file = await open(path, 'r+')
  for (let change = 0; change < options.changedBlocks; change += 1) {
    const block = Math.floor(Math.random() * (diskBytes / blockBytes))
    await file.write(random(blockBytes), 0, blockBytes, block * blockBytes)
  }
}

/** Agents that have sent everything of their session. */
let sent = 0

async function backUp(name: string, full: boolean, signal?: AbortSignal): Promise<BackupTimes> {
  const stateDirectory = join(directory, name)
  await changeDisk(disk(name))
  const startedMs = performance.now()
  const identity = await readIdentity(stateDirectory)
  const connection = await connectToService({ identity, machineId: name, clock, random, signal })
  try {
    const uplink = new TimedUplink(connection.uplink, () => (sent += 1))
    const { changedBytes } = await backupSet({
      uplink,
      sources: [{ name: 'disk', path: disk(name) }],
      setName: identity.endpointName,
      kind: full ? 'full' : 'auto',
      blockBytes,
      stateDirectory,
      allowChanging: false,
      clock,
      ...(options.scanThreads === null ? {} : { scanThreads: options.scanThreads }),
      ...(signal === undefined ? {} : { signal }),
    })
    return { seconds: (performance.now() - startedMs) / 1000, commitSeconds: uplink.commitSeconds, changedBytes }
  } finally {
    await connection.close()
  }
}

async function round({ agents, full }: RoundQuestion): Promise<RoundAnswer> {
  const startedMs = performance.now()
  const one = (name: string): Promise<BackupTimes> => backUp(name, full === true)
  const backups = await inLanes(names.slice(0, agents), one)
  return { seconds: (performance.now() - startedMs) / 1000, backups, ...ownCost() }
}

/** Fulls of the first agent, one after the other, until it is told to stop. */
class WithoutPause {
  readonly #stop = new AbortController()
  readonly #ended: Promise<void>

  constructor(name: string) {
    this.#ended = this.#run(name)
    // It is asked for when it is stopped.
    this.#ended.catch(() => undefined)
  }

  async stop(): Promise<void> {
    this.#stop.abort()
    await this.#ended
  }

  async #run(name: string): Promise<void> {
    try {
      for (;;) await backUp(name, true, this.#stop.signal)
    } catch (error) {
      if (!this.#stop.signal.aborted) throw error
    }
  }
}

let withoutPause: WithoutPause | undefined
let begun: Promise<RoundAnswer> | undefined

answerParent({
  enrol: enrolAll,
  round,
  beginRound: (question: RoundQuestion) => {
    begun = round(question)
    // It is asked for by `endRound`.
    begun.catch(() => undefined)
    return Promise.resolve(null)
  },
  sent: () => Promise.resolve(sent),
  endRound: async () => await begun,
  beginWithoutPause: () => {
    withoutPause = new WithoutPause(names[0] ?? '')
    return Promise.resolve(null)
  },
  endWithoutPause: async () => {
    await withoutPause?.stop()
    return null
  },
})
