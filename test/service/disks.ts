import { randomBytes } from 'node:crypto'
import { mkdir, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { KiB, makeDisk, MiB, writeAt } from '../end-to-end/place.ts'
import { runTool } from '../fixtures/tool.ts'

/** Disks as machines have them, and what becomes of them from one backup to the next; by the disk's name. */
export type DiskPaths = Readonly<Record<string, string>>

/** What is done to the disks before a backup. */
export type Round = 'full' | 'incremental' | 'differential' | 'shrink and grow'

/** A file of these disks has it as its name, and one disk is full of it. */
export const knownFileName = 'salaries of the whole board 2031.ods'
export const knownText = 'what a customer wrote and nobody else may read'

const blockBytes = 256 * KiB

/** Makes or changes the disks of one machine, which lie in a directory of its own. */
export type PrepareDisks = (directory: string, round: Round) => Promise<DiskPaths>

/** A file system of the whole disk. In the end a block of it is deleted: it reads as zeros. */
export async function fileSystemDisk(directory: string, round: Round): Promise<DiskPaths> {
  const path = join(directory, 'whole.img')
  switch (round) {
    case 'full':
      await makeDisk(path, 11, 24 * MiB, await folderOfCustomer(directory))
      await writeAt(path, 16 * MiB, randomBytes(3 * MiB))
      break
    case 'incremental':
      await writeAt(path, 9 * MiB + 4096, randomBytes(MiB))
      break
    case 'differential':
      await writeAt(path, 20 * MiB, randomBytes(MiB))
      break
    case 'shrink and grow':
      await writeAt(path, 16 * MiB + blockBytes, Buffer.alloc(blockBytes))
  }
  return { 'whole-file-system': path }
}

/** A GPT, and a file system in its only partition. In the end nothing changes. */
export async function partitionedDisk(directory: string, round: Round): Promise<DiskPaths> {
  const path = join(directory, 'partitioned.img')
  switch (round) {
    case 'full':
      await writeFile(path, '')
      await truncate(path, 20 * MiB)
      await runTool('sfdisk', ['--quiet', path], { input: 'label: gpt\nstart=1MiB, type=linux\n' })
      await makeFileSystemAt(path, MiB, 18 * MiB, await folderOfCustomer(directory))
      break
    case 'incremental':
      await writeAt(path, 15 * MiB, Buffer.alloc(2 * blockBytes, `${knownText}, in a partition. `))
      break
    case 'differential':
      await writeAt(path, 3 * blockBytes, Buffer.alloc(blockBytes))
      break
    case 'shrink and grow':
  }
  return { 'partitioned-disk': path }
}

/** Two disks in one set: one of bytes that nothing can compress, one that grows in the end. */
export async function twoDisks(directory: string, round: Round): Promise<DiskPaths> {
  const [system, data] = [join(directory, 'system.img'), join(directory, 'data.img')]
  switch (round) {
    case 'full':
      await writeFile(system, randomBytes(8 * MiB))
      await makeDisk(data, 12, 8 * MiB, await folderOfCustomer(directory))
      break
    case 'incremental':
      await writeAt(system, 5 * MiB - 1000, randomBytes(2000))
      break
    case 'differential':
      await writeAt(data, 6 * MiB, randomBytes(MiB))
      break
    case 'shrink and grow':
      await truncate(data, 11 * MiB + 512)
      await writeAt(data, 11 * MiB, randomBytes(512))
  }
  return { 'system-volume': system, 'payroll-volume': data }
}

/** An odd size, and from its first to its last byte what a customer wrote. In the end a block is deleted. */
export async function textDisk(directory: string, round: Round): Promise<DiskPaths> {
  const path = join(directory, 'text.img')
  const line = (number: number): string => `${knownText}, line ${String(number)}\n`
  switch (round) {
    case 'full': {
      const lines = Array.from({ length: 200_000 }, (_, number) => line(number)).join('')
      await writeFile(path, lines.slice(0, 9 * MiB + 777))
      break
    }
    case 'incremental':
      await writeAt(path, 9 * MiB + 700, Buffer.alloc(77, 'the end of the disk '))
      break
    case 'differential':
      await writeAt(path, 2 * MiB, Buffer.alloc(MiB, `${knownText}, once more. `))
      break
    case 'shrink and grow':
      await writeAt(path, 4 * MiB, Buffer.alloc(blockBytes))
  }
  return { 'text-everywhere': path }
}

/** Nothing but zeros, then a little, then nothing again. */
export async function emptyDisk(directory: string, round: Round): Promise<DiskPaths> {
  const path = join(directory, 'empty.img')
  switch (round) {
    case 'full':
      await writeFile(path, '')
      await truncate(path, 16 * MiB)
      break
    case 'incremental':
      break
    case 'differential':
      await writeAt(path, 8 * MiB, randomBytes(blockBytes))
      break
    case 'shrink and grow':
      await writeAt(path, 8 * MiB, Buffer.alloc(blockBytes))
  }
  return { 'empty-volume': path }
}

async function makeFileSystemAt(path: string, offset: number, sizeBytes: number, folder: string): Promise<void> {
  const where = ['-E', `offset=${String(offset)}`, '-d', folder, path, `${String(sizeBytes / KiB)}k`]
  await runTool('mke2fs', ['-q', '-F', '-t', 'ext4', '-O', '^has_journal', ...where])
}

/** Files whose names and contents can be looked for. */
async function folderOfCustomer(directory: string): Promise<string> {
  const folder = join(directory, 'files')
  await mkdir(folder)
  await writeFile(join(folder, knownFileName), `${knownText} `.repeat(4000))
  await writeFile(join(folder, 'noise'), randomBytes(MiB))
  return folder
}
