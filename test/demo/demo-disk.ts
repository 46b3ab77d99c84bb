import { basename, dirname, join } from 'node:path'
import { formatBytes, formatCount } from '@strata/workers/cli/output/bytes.ts'
import {
  allocatedBytes,
  buildDiskImage,
  changeFileSystem,
  checkFileSystem,
  diskBytesFor,
  type DiskImage,
  type FileSystemChange,
} from '../fixtures/disk-image.ts'
import { realFiles, takeFiles, type FileSelection, type RealFile } from '../fixtures/real-files.ts'
import type { Narrator } from './narrator.ts'

/** The disk of the demo, and what happens on it between two backups. */
export class DemoDisk {
  readonly image: DiskImage
  /** Files on the disk that no change has touched yet. */
  readonly #untouched: RealFile[]
  /** Files of this machine that were put aside for later changes. */
  readonly #fresh: RealFile[]
  readonly #freshBytes: number
  #changes = 0

  private constructor(image: DiskImage, untouched: readonly RealFile[], fresh: FileSelection) {
    this.image = image
    this.#untouched = [...untouched]
    this.#fresh = [...fresh.files]
    this.#freshBytes = fresh.sizeBytes
  }

  static async build(path: string, dataBytes: number, narrator: Narrator): Promise<DemoDisk> {
    const all = await takeFiles(realFiles(), dataBytes * (1 + freshPart))
    const { files, fresh } = putAside(all.files, dataBytes)
    const sizeBytes = all.sizeBytes - fresh.sizeBytes
    if (sizeBytes < dataBytes) {
      narrator.say(`This machine has only ${formatBytes(all.sizeBytes)} of programs and libraries; those must do.`)
    }
    const diskBytes = diskBytesFor(files, 2 * fresh.sizeBytes)
    narrator.say(`${formatBytes(diskBytes)}: a GPT partition table, one ext4 partition,`)
    narrator.say(
      `${formatCount(files.length, 'file')} of this machine with ${formatBytes(sizeBytes)} in it. (sfdisk, mke2fs, debugfs)`,
    )
    const image = await buildDiskImage(path, diskBytes, files)
    return new DemoDisk(image, files, fresh)
  }

  async dataBytes(): Promise<number> {
    return await allocatedBytes(this.image.path)
  }

  /** Adds, deletes, replaces and renames files, each time others, and says so. */
  async change(narrator: Narrator): Promise<void> {
    this.#changes += 1
    const folder = `/srv/demo-${String(this.#changes)}`
    const parent: FileSystemChange[] = this.#changes === 1 ? [{ kind: 'folder', path: '/srv' }] : []
    const added = this.#takeFresh(0.3)
    const replacements = this.#takeFresh(0.15)
    const count = Math.max(1, Math.ceil(this.#untouched.length * changedPart))
    const deleted = this.#takeSpread(count)
    const renamed = this.#takeSpread(count)
    const replaced = this.#takeSpread(replacements.files.length)
    await changeFileSystem(this.image, [
      ...parent,
      { kind: 'folder', path: folder },
      // Before files are added: these get blocks that others have left.
      ...deleted.map(({ path }) => ({ kind: 'delete', path }) as const),
      ...added.files.map(
        ({ path }, index) => ({ kind: 'add', path: newPath(folder, index, path), content: path }) as const,
      ),
      ...replaced.map(({ path }, index) => {
        return { kind: 'replace', path, content: replacements.files[index]?.path ?? path } as const
      }),
      ...renamed.map(
        ({ path }) => ({ kind: 'rename', path, newPath: join(dirname(path), `${basename(path)}.old`) }) as const,
      ),
    ])
    await checkFileSystem(this.image)
    narrator.say(`${formatCount(added.files.length, 'file')} added (${formatBytes(added.sizeBytes)}),`)
    narrator.say(`${String(replaced.length)} replaced by others (${formatBytes(replacements.sizeBytes)}),`)
    narrator.say(`${String(deleted.length)} deleted, ${String(renamed.length)} renamed. (debugfs)`)
  }

  #takeFresh(part: number): FileSelection {
    const files: RealFile[] = []
    let sizeBytes = 0
    while (sizeBytes < this.#freshBytes * part) {
      const file = this.#fresh.shift()
      if (file === undefined) break
      files.push(file)
      sizeBytes += file.sizeBytes
    }
    return { files, sizeBytes }
  }

  /** Files from all over the disk. */
  #takeSpread(count: number): RealFile[] {
    const step = Math.max(1, Math.floor(this.#untouched.length / count))
    const chosen = new Set(this.#untouched.filter((_, index) => index % step === step - 1).slice(0, count))
    const rest = this.#untouched.filter((file) => !chosen.has(file))
    this.#untouched.splice(0, this.#untouched.length, ...rest)
    return [...chosen]
  }
}

/** Of the data: put aside to be added later, and how large one file of it may be. */
const freshPart = 1 / 16
const freshFilePart = 1 / 256
/** Of the files: deleted, and as many renamed. */
const changedPart = 0.01

function newPath(folder: string, index: number, path: string): string {
  return `${folder}/${String(index)}-${basename(path)}`
}

function putAside(all: readonly RealFile[], dataBytes: number): { files: RealFile[]; fresh: FileSelection } {
  const files: RealFile[] = []
  const fresh: RealFile[] = []
  let freshBytes = 0
  for (const file of all) {
    const aside = file.sizeBytes <= dataBytes * freshFilePart && freshBytes < dataBytes * freshPart
    if (aside) freshBytes += file.sizeBytes
    ;(aside ? fresh : files).push(file)
  }
  return { files, fresh: { files: fresh, sizeBytes: freshBytes } }
}
