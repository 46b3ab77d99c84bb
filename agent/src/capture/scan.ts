import { invariant } from '@strata/shared/errors.ts'
import { ContentRootBuilder, digestBytes } from '@strata/shared/format/digest.ts'
import { diskCounts } from '@strata/shared/format/root.ts'
import { scanRangesAheadMax } from '@strata/shared/limits.ts'
import type { SegmentFile } from '../send/segment-file.ts'
import type { SendQueue } from '../send/send-queue.ts'
import type { DigestReference, DigestSink } from '../track/digest-reference.ts'
import { openHoleMap } from './holes.ts'
import { InOrder } from './in-order.ts'
import type { ScanPool } from './scan-pool.ts'
import { scanSteps, type KnownPages, type ScanStep } from './scan-steps.ts'
import { blockStates, type ScanTask } from './scan-task.ts'
import { reopen, type Source } from './source.ts'

export interface ScanTools {
  readonly pool: ScanPool
  readonly queue: SendQueue
  /** The first failure of any part aborts it; no step begins afterwards. */
  readonly stop: AbortController
  readonly blockDigestKey: Uint8Array
  readonly treeDigestKey: Uint8Array
}

export interface ScannedDisk {
  readonly index: number
  readonly source: Source
  readonly blockBytes: number
  /** What its blocks are compared with. */
  readonly reference: DigestReference
  /** Take the digest of every block, in order. */
  readonly digests: readonly DigestSink[]
  /** What an earlier run has read of it under the same view. */
  readonly known?: KnownPages | undefined
}

export interface ScanCounts {
  /** Bytes of the disk that were dealt with, holes among them. */
  bytesDone: number
  bytesRead: number
  /** Of blocks that differ and were put into segments as data. */
  dataBytes: number
  /** Of blocks that are zeros now and were not in the reference. */
  zeroedBytes: number
}

/**
 * Reads a disk from front to end once: every block that differs from the reference goes into a segment, every digest
 * into `digests`. Returns the content root. `counts` grows while it runs, and `onStep` hears of it.
 *
 * Each thread has a lane of its own: a range at a time, in ascending order, into a segment of its own, so that a
 * segment's blocks ascend. Whatever the size of the disk, memory holds a range per lane and digests for the ranges
 * that wait for an earlier one.
 */
export async function scanDisk(
  tools: ScanTools,
  disk: ScannedDisk,
  counts: ScanCounts,
  onStep: () => void,
): Promise<Buffer> {
  const scan = new DiskScan(tools, disk, counts, onStep)
  return await scan.run()
}

type DigestRun = { readonly digests: Uint8Array } | { readonly zeros: number }

class DiskScan {
  readonly #tools: ScanTools
  readonly #disk: ScannedDisk
  readonly #counts: ScanCounts
  readonly #onStep: () => void
  readonly #blocks: number
  readonly #root: ContentRootBuilder
  readonly #order: InOrder<DigestRun>
  readonly #steps: AsyncGenerator<ScanStep, undefined>

  constructor(tools: ScanTools, disk: ScannedDisk, counts: ScanCounts, onStep: () => void) {
    const { blockBytes, source, reference, known } = disk
    const { sizeBytes } = source
    this.#tools = tools
    this.#disk = disk
    this.#counts = counts
    this.#onStep = onStep
    this.#blocks = diskCounts(sizeBytes, blockBytes).blocks
    this.#root = new ContentRootBuilder(Buffer.from(tools.treeDigestKey), { sizeBytes, blockBytes })
    this.#order = new InOrder(
      scanRangesAheadMax,
      (run) => {
        this.#collect(run)
      },
      tools.stop.signal,
    )
    this.#steps = scanSteps({ blocks: this.#blocks, blockBytes }, openHoleMap(source, blockBytes), reference, known)
  }

  async run(): Promise<Buffer> {
    const { pool, stop } = this.#tools
    const lanes = Array.from({ length: pool.threads }, () =>
      this.#lane().catch((error: unknown) => {
        stop.abort(error)
      }),
    )
    await Promise.all(lanes)
    stop.signal.throwIfAborted()
    this.#order.finish()
    return this.#root.finish()
  }

  async #lane(): Promise<void> {
    const { queue } = this.#tools
    const source = reopen(this.#disk.source)
    try {
      const segment = new LaneSegment(queue, this.#disk)
      for (let turn = await this.#nextStep(); turn !== null; turn = await this.#nextStep()) {
        const { step, ticket } = turn
        if (step.kind === 'zeros') this.#order.put(ticket, { zeros: step.blockCount })
        else if (step.kind === 'known') this.#order.put(ticket, { digests: step.digests })
        else this.#order.put(ticket, { digests: await this.#range(step, source.fd, segment) })
        this.#counts.bytesDone += this.#bytesOf(step.firstBlock, step.blockCount)
        this.#onStep()
      }
      segment.end()
    } finally {
      source.close()
    }
  }

  /** Ticket and step are asked for in one breath, and a generator answers one after the other: they go together. */
  async #nextStep(): Promise<{ step: ScanStep; ticket: number } | null> {
    await this.#order.ready()
    const ticket = this.#order.ticket()
    const { value } = await this.#steps.next()
    if (value !== undefined) return { step: value, ticket }
    this.#order.put(ticket, { zeros: 0 })
    return null
  }

  /** Digests of the blocks of a range, whose changed ones went into as many segments as it took. */
  async #range(step: ScanStep & { kind: 'range' }, sourceFd: number, segment: LaneSegment): Promise<Uint8Array> {
    const digests = new Uint8Array(step.blockCount * digestBytes)
    for (let done = 0; done < step.blockCount;) {
      this.#tools.stop.signal.throwIfAborted()
      const file = await segment.file()
      const task = this.#task(step, done, sourceFd, file)
      const answer = await this.#tools.pool.run(task)
      file.add(task, answer)
      digests.set(answer.digests, done * digestBytes)
      this.#count(task, answer.states, answer.bytesRead)
      done += answer.blocksDone
      if (done < step.blockCount || file.isFull(this.#disk.blockBytes)) {
        invariant(!file.empty, 'a segment has room for one block')
        segment.end()
      }
    }
    return digests
  }

  #task(step: ScanStep & { kind: 'range' }, done: number, sourceFd: number, file: SegmentFile): ScanTask {
    const { source, blockBytes } = this.#disk
    const firstBlock = step.firstBlock + done
    return {
      sourceFd,
      sourcePath: source.path,
      sourceDirect: source.direct,
      sizeBytes: source.sizeBytes,
      blockBytes,
      firstBlock,
      blockCount: step.blockCount - done,
      dataRuns: step.dataRuns === null ? null : runsFrom(step.dataRuns, firstBlock),
      reference: step.reference === null ? null : step.reference.slice(done * digestBytes),
      blockDigestKey: this.#tools.blockDigestKey,
      segment: file.room,
    }
  }

  #count(task: ScanTask, states: Uint8Array, bytesRead: number): void {
    this.#counts.bytesRead += bytesRead
    states.forEach((state, index) => {
      if (state === blockStates.data) this.#counts.dataBytes += this.#bytesOf(task.firstBlock + index, 1)
      if (state === blockStates.zero) this.#counts.zeroedBytes += this.#bytesOf(task.firstBlock + index, 1)
    })
  }

  #bytesOf(firstBlock: number, blockCount: number): number {
    const { blockBytes, source } = this.#disk
    return Math.min((firstBlock + blockCount) * blockBytes, source.sizeBytes) - firstBlock * blockBytes
  }

  #collect(run: DigestRun): void {
    for (const sink of [this.#root, ...this.#disk.digests]) {
      if ('zeros' in run) sink.pushZeros(run.zeros)
      else sink.push(run.digests)
    }
  }
}

/** The segment that a lane is filling, if any. */
class LaneSegment {
  readonly #queue: SendQueue
  readonly #disk: ScannedDisk
  #file: SegmentFile | null = null

  constructor(queue: SendQueue, disk: ScannedDisk) {
    this.#queue = queue
    this.#disk = disk
  }

  async file(): Promise<SegmentFile> {
    this.#file ??= await this.#queue.open(this.#disk.blockBytes)
    return this.#file
  }

  /** Sends it. */
  end(): void {
    if (this.#file !== null) this.#queue.send(this.#file, { disk: this.#disk.index, blockBytes: this.#disk.blockBytes })
    this.#file = null
  }
}

/** What is left of the runs from `firstBlock` on. */
function runsFrom(runs: Uint32Array, firstBlock: number): Uint32Array {
  const left: number[] = []
  for (let index = 0; index < runs.length; index += 2) {
    const end = runs[index + 1] ?? 0
    if (end > firstBlock) left.push(Math.max(runs[index] ?? 0, firstBlock), end)
  }
  return Uint32Array.from(left)
}
