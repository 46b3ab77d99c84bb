import { open, rm, truncate, writeFile, type FileHandle } from 'node:fs/promises'
import { allocatedBytes, buildDiskImage, checkFileSystem } from '../fixtures/disk-image.ts'
import { realFiles, takeFiles } from '../fixtures/real-files.ts'
import { seededNumbers } from './statistics.ts'

/** Images that the benchmark backs up. */
export interface BenchImage {
  readonly name: string
  readonly path: string
  readonly sizeBytes: number
  /** Without holes. */
  readonly dataBytes: number
}

const KiB = 1024
const MiB = 1024 * KiB

/** A machine's disk: GPT, ext4, programs and libraries; all that there are where this machine has fewer. */
export async function buildMachineImage(
  name: string,
  path: string,
  sizeBytes: number,
  filesBytes: number,
): Promise<BenchImage> {
  const { files } = await takeFiles(realFiles(), filesBytes)
  const image = await buildDiskImage(path, sizeBytes, files)
  await checkFileSystem(image)
  return { name, path, sizeBytes, dataBytes: await allocatedBytes(path) }
}

/** Real data in pieces of 256 KiB to 1 MiB, one every 16 to 32 MiB; the rest are holes. */
export async function buildScatteredImage(
  name: string,
  path: string,
  sizeBytes: number,
  source: BenchImage,
): Promise<BenchImage> {
  const random = seededNumbers(64)
  await makeSparse(path, sizeBytes)
  await withFiles(source.path, path, async (from, to) => {
    const buffer = Buffer.alloc(1 * MiB)
    let position = 0
    while (position + 32 * MiB < sizeBytes) {
      const length = (256 + Math.floor(random() * 193) * 4) * KiB
      const piece = await readRealData(from, source.sizeBytes, buffer.subarray(0, length), random)
      await to.write(piece, 0, length, position)
      position += (16 * 1024 + Math.floor(random() * 4097) * 4) * KiB
    }
  })
  return { name, path, sizeBytes, dataBytes: await allocatedBytes(path) }
}

/** Nearly nothing on a very large disk: a little real data at its start, in the middle and at its end. */
export async function buildSparseImage(
  name: string,
  path: string,
  sizeBytes: number,
  source: BenchImage,
): Promise<BenchImage> {
  const random = seededNumbers(1024)
  await makeSparse(path, sizeBytes)
  await withFiles(source.path, path, async (from, to) => {
    const buffer = Buffer.alloc(8 * MiB)
    for (const position of [0, sizeBytes / 2, sizeBytes - buffer.length]) {
      await to.write(await readRealData(from, source.sizeBytes, buffer, random), 0, buffer.length, position)
    }
  })
  return { name, path, sizeBytes, dataBytes: await allocatedBytes(path) }
}

/**
 * Overwrites about `part` of the image's data, in pieces of 16 to 512 KiB all over it, with data from elsewhere on it.
 * @returns the bytes overwritten
 */
export async function changeScattered(image: BenchImage, part: number, seed: number): Promise<number> {
  const random = seededNumbers(seed)
  const wantedBytes = image.dataBytes * part
  let changedBytes = 0
  await withFiles(image.path, image.path, async (from, to) => {
    const old = Buffer.alloc(512 * KiB)
    const fresh = Buffer.alloc(512 * KiB)
    while (changedBytes < wantedBytes) {
      const length = (4 + Math.floor(random() * 125)) * 4 * KiB
      const position = Math.floor((random() * (image.sizeBytes - length)) / (4 * KiB)) * 4 * KiB
      await from.read(old, 0, length, position)
      if (isMostlyZero(old.subarray(0, length))) continue
      const piece = await readRealData(from, image.sizeBytes, fresh.subarray(0, length), random)
      await to.write(piece, 0, length, position)
      changedBytes += length
    }
    await to.sync()
  })
  return changedBytes
}

/** Fills `target` from a place in the image that is no hole. */
async function readRealData(
  from: FileHandle,
  sizeBytes: number,
  target: Buffer,
  random: () => number,
): Promise<Buffer> {
  for (;;) {
    const position = Math.floor((random() * (sizeBytes - target.length)) / (4 * KiB)) * 4 * KiB
    await from.read(target, 0, target.length, position)
    if (!isMostlyZero(target)) return target
  }
}

const sampleStepBytes = 1021

function isMostlyZero(data: Uint8Array): boolean {
  let samples = 0
  let zeros = 0
  for (let at = 0; at < data.length; at += sampleStepBytes) {
    samples += 1
    if (data[at] === 0) zeros += 1
  }
  return zeros * 4 > samples * 3
}

async function makeSparse(path: string, sizeBytes: number): Promise<void> {
  await rm(path, { force: true })
  await writeFile(path, '')
  await truncate(path, sizeBytes)
}

async function withFiles(
  fromPath: string,
  toPath: string,
  work: (from: FileHandle, to: FileHandle) => Promise<void>,
): Promise<void> {
  const from = await open(fromPath, 'r')
  try {
    const to = await open(toPath, 'r+')
    try {
      await work(from, to)
    } finally {
      await to.close()
    }
  } finally {
    await from.close()
  }
}
