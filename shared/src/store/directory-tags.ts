import { unlink } from 'node:fs/promises'
import { dirname } from 'node:path'
import { StrataError, hasCode } from '../errors.ts'
import { objectTagsBytesMax } from '../limits.ts'
import { syncIfThere } from './directory-durable.ts'
import { isSystemError } from './directory-errors.ts'
import { contentOf, readUpTo } from './directory-files.ts'
import { objectInfo, walkDirectory } from './directory-list.ts'
import type { DirectoryPlace } from './directory-place.ts'
import { isDirectory } from './directory-writer.ts'
import type { DirectoryWriter } from './directory-writer.ts'
import { missingError } from './object-errors.ts'
import type { ObjectInfo, TaggedObject } from './object-store.ts'
import { isTags } from './object-tags.ts'
import type { ObjectTags } from './object-tags.ts'

/** Not a possible part of an object's name, so never listed and in nobody's way. */
const tagsDirectoryName = '~tags'

/** What a file of tags says. */
interface Note {
  readonly tags: ObjectTags
  /** Of the object that was tagged. */
  readonly sizeBytes: number
  readonly modifiedMs: number
}

/**
 * Tags of objects in a directory: a file for each object that has some, under its name in a directory of their own.
 *
 * Such a file also says which object it is about. So the tags of an object that was replaced or deleted are none of what
 * lies there later, also if its writer died before he could remove them.
 */
export class DirectoryTags {
  readonly #place: DirectoryPlace
  readonly #writer: DirectoryWriter

  constructor(place: DirectoryPlace, writer: DirectoryWriter) {
    this.#place = place
    this.#writer = writer
  }

  async set(name: string, tags: ObjectTags): Promise<void> {
    const { sizeBytes, modifiedMs } = await this.#objectNamed(name)
    if (Object.keys(tags).length > 0) {
      const note: Note = { tags, sizeBytes, modifiedMs }
      await this.#writer.write(noteName(name), contentOf([Buffer.from(JSON.stringify(note))]), false)
    } else {
      await this.drop(name)
      await syncIfThere(dirname(this.#place.pathOf(noteName(name))))
    }
  }

  async get(name: string): Promise<ObjectTags> {
    const object = await this.#objectNamed(name)
    const note = await this.#read(name)
    return note !== undefined && isAbout(note, object) ? note.tags : {}
  }

  /** Of an object that is no longer there. Should the file survive a crash, it is about no object. */
  async drop(name: string): Promise<void> {
    const path = this.#place.pathOf(noteName(name))
    if (!(await this.#place.hasDirectoryOf(noteName(name)))) return
    try {
      await unlink(path)
    } catch (error) {
      if (!isSystemError(error, 'ENOENT') && !(await isDirectory(path))) throw error
    }
    await this.#place.removeEmptyUpwards(dirname(path))
  }

  /** Those with this tag, in ascending order. What is about no object (any more) is removed on the way. */
  async *withTag(
    key: string,
    value: string,
    startAfter: string,
    request: <Result>(kind: 'list' | 'tag', work: () => Promise<Result>) => Promise<Result>,
  ): AsyncGenerator<TaggedObject> {
    await this.#place.checkRoot()
    if (!(await this.#place.hasDirectoryOf(noteName('x')))) return
    const walk = {
      root: this.#place.pathOf(tagsDirectoryName),
      prefix: '',
      startAfter,
      readOne: async <Result>(read: () => Promise<Result>): Promise<Result> => await request('list', read),
    }
    for await (const { name, modifiedMs } of walkDirectory(walk)) {
      const tags = await request('tag', async () => await this.#currentTags(name))
      if (tags[key] === value) yield { name, taggedMs: modifiedMs }
    }
  }

  async #currentTags(name: string): Promise<ObjectTags> {
    const note = await this.#read(name)
    if (note === undefined) return {}
    const object = await this.#object(name)
    if (object !== undefined && isAbout(note, object)) return note.tags
    await this.drop(name)
    return {}
  }

  async #objectNamed(name: string): Promise<ObjectInfo> {
    const info = await this.#object(name)
    if (info !== undefined) return info
    await this.#place.checkRoot()
    throw missingError(this.#place.description, name)
  }

  async #object(name: string): Promise<ObjectInfo | undefined> {
    return (await this.#place.hasDirectoryOf(name)) ? await objectInfo(this.#place.root, name) : undefined
  }

  async #read(name: string): Promise<Note | undefined> {
    try {
      const { file } = await this.#place.openObject(noteName(name))
      try {
        const bytes = await readUpTo(file, 0, objectTagsBytesMax)
        return this.#parsed(name, Buffer.from(bytes).toString())
      } finally {
        await file.close()
      }
    } catch (error) {
      if (hasCode(error, 'E_OBJECT_MISSING')) return undefined
      throw error
    }
  }

  #parsed(name: string, text: string): Note {
    const note = parsedOrUndefined(text)
    if (isNote(note)) return note
    throw new StrataError('E_FORMAT_DAMAGED', `the tags of ${name} in ${this.#place.description} cannot be read`, {
      details: { object: name },
    })
  }
}

function noteName(name: string): string {
  return `${tagsDirectoryName}/${name}`
}

function isAbout(note: Note, object: ObjectInfo): boolean {
  return note.sizeBytes === object.sizeBytes && note.modifiedMs === object.modifiedMs
}

function isNote(value: unknown): value is Note {
  if (typeof value !== 'object' || value === null) return false
  const { tags, sizeBytes, modifiedMs } = value as Partial<Note>
  return isTags(tags) && Number.isSafeInteger(sizeBytes) && Number.isSafeInteger(modifiedMs)
}

function parsedOrUndefined(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
