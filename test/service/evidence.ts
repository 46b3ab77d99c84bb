import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { hasCode } from '@strata/shared/errors.ts'
import { EnrolmentToken } from '@strata/shared/format/enrolment-token-text.ts'
import { readKeyFile } from '@strata/shared/keys/key-file.ts'
import type { ObjectStore } from '@strata/shared/store/object-store.ts'
import { filesBelow } from '../end-to-end/place.ts'
import { knownFileName, knownText, type DiskPaths } from './disks.ts'
import type { Endpoint } from './endpoints.ts'
import type { Installation } from './installation.ts'
import { addDisk, addTenant } from './known-secrets.ts'
import { contentsOf } from './redis-watch.ts'
import { needleBytesMin, SecretScan, type Finding } from './secret-scan.ts'

interface Piece {
  readonly where: string
  readonly bytes: Uint8Array
}

/**
 * What lay anywhere at any moment of a run, kept until all secrets of the run are known; then it is looked through.
 *
 * Two kinds of secrets: what was on disks, with digests and keys, is to be seen by nobody at all; names of machines,
 * sets, disks and tenants are for those who work with them, and so may be in what agents and operators are told.
 */
export class Evidence {
  readonly #installation: Installation
  readonly #contents = new SecretScan()
  readonly #names = new SecretScan()
  /** By place and length: what was seen before and is still there is looked through once. */
  readonly #pieces = new Map<string, Piece>()

  constructor(installation: Installation) {
    this.#installation = installation
  }

  /** Everything that is there at this moment. */
  async take(): Promise<void> {
    const { store, staging } = this.#installation
    await this.#takeStore('the store', store)
    if (staging !== undefined) await this.#takeStore('staging', staging)
    await this.#takeHandOver()
    for (const [key, value] of await contentsOf(this.#installation.redis)) {
      this.#keep(`Redis: ${key}`, Buffer.concat([Buffer.from(`${key}\n`), value]))
    }
  }

  /** How many pieces there are of a kind. */
  count(kind: 'the store' | 'staging' | 'hand-over' | 'Redis'): number {
    return [...this.#pieces.values()].filter(({ where }) => where.startsWith(`${kind}: `)).length
  }

  #keep(where: string, bytes: Uint8Array): void {
    const others = [...this.#pieces.values()].filter((piece) => piece.where === where)
    if (others.some((piece) => Buffer.compare(piece.bytes, bytes) === 0)) return
    this.#pieces.set(`${where} ${String(others.length)}`, { where, bytes })
  }

  /** As the disks are now. */
  async learnDisks(name: string, disks: DiskPaths): Promise<void> {
    for (const [disk, path] of Object.entries(disks)) {
      await addDisk(this.#contents, `disk '${disk}' of ${name}`, path)
      this.#names.addText('name of a disk', disk)
    }
  }

  /** What there is to know besides, when a run is over. */
  async learnAll(endpoints: readonly Endpoint[]): Promise<void> {
    this.#contents.addText('text on a disk', knownText)
    this.#contents.addText('name of a file', knownFileName)
    await this.#learnTenants()
    await this.#learnEndpoints(endpoints)
    await this.#learnCredentials()
  }

  /** Looks through everything; also through what all processes have said. */
  findings(): Finding[] {
    const { watch, place } = this.#installation
    const told = { where: 'what Redis was told', bytes: watch.seen() }
    const logs = place.runs.map(({ args, messages, output }) => {
      // The answer to `token create` is a secret, for whoever asked.
      const said = args.includes('token') ? messages : messages + output
      return {
        isOfService: args.includes('serve'),
        where: `log of ${args.slice(0, 3).join(' ')}`,
        bytes: Buffer.from(said),
      }
    })
    const seenByAll = [...this.#pieces.values(), told, ...logs.filter(({ isOfService }) => isOfService)]
    return [
      ...seenByAll.flatMap(({ where, bytes }) => this.#names.look(where, bytes)),
      ...[...this.#pieces.values(), told, ...logs].flatMap(({ where, bytes }) => this.#contents.look(where, bytes)),
    ]
  }

  /** What would be found in these bytes: all that the search knows of. */
  wouldFind(bytes: Uint8Array): Set<string> {
    const findings = [...this.#contents.look('', bytes), ...this.#names.look('', bytes)]
    return new Set(findings.map(({ what }) => what))
  }

  get secrets(): number {
    return this.#contents.secrets + this.#names.secrets
  }

  get lookedBytes(): number {
    return this.#contents.lookedBytes
  }

  async #takeStore(title: 'the store' | 'staging', store: ObjectStore): Promise<void> {
    for await (const { name } of store.list('')) {
      try {
        const bytes = await store.get(name)
        this.#keep(`${title}: ${name}`, Buffer.concat([Buffer.from(`${name}\n`), bytes]))
      } catch (error) {
        // Done with meanwhile.
        if (!hasCode(error, 'E_OBJECT_MISSING')) throw error
      }
    }
  }

  /** Segments on their way through the hosts of the service. */
  async #takeHandOver(): Promise<void> {
    const directory = this.#installation.place.file('hand-over')
    for (const file of await filesBelow(directory)) {
      const path = file.slice(0, file.lastIndexOf(' '))
      this.#keep(`hand-over: ${path}`, await readFile(join(directory, path)))
    }
  }

  async #learnTenants(): Promise<void> {
    const { tenants, store } = this.#installation
    for (const { name, keyringPath, keyFilePath, passphrase } of tenants) {
      const keyFile = keyFilePath === undefined ? undefined : await readKeyFile(keyFilePath)
      if (keyFile !== undefined) this.#contents.addBytes(`key file of ${name}`, keyFile)
      if (passphrase !== undefined) this.#contents.addText(`passphrase of ${name}`, passphrase)
      await addTenant(this.#contents, { name, store, keyringPath, secrets: { passphrase, keyFile } })
      this.#names.addText('name of a tenant', name)
    }
  }

  async #learnEndpoints(endpoints: readonly Endpoint[]): Promise<void> {
    for (const { machine } of endpoints) {
      const { privateKey = '' } = await machine.identity()
      this.#contents.addBytes(`key of endpoint ${machine.name}`, Buffer.from(privateKey, 'hex'))
      this.#names.addText('name of an endpoint', machine.name)
    }
    // A short one may be anywhere by chance.
    if (hostname().length >= needleBytesMin) this.#names.addText('name of the host', hostname())
  }

  /** The secrets of enrolment tokens, and what opens the stores. */
  async #learnCredentials(): Promise<void> {
    const { place } = this.#installation
    const created = place.runs.filter(({ args }) => args.includes('token'))
    assert.ok(created.length > 0)
    for (const run of created) {
      const { token } = JSON.parse((await run.ended).output) as { token: string }
      const secret = token.slice(token.length - enrolmentSecretChars)
      assert.equal(EnrolmentToken.parse(token).text(), token)
      this.#contents.addText('secret of an enrolment token', secret)
      this.#contents.addBytes('secret of an enrolment token', Buffer.from(secret, 'base64url'))
    }
    for (const name of ['AWS_SECRET_ACCESS_KEY', 'AZURE_STORAGE_KEY']) {
      const secret = place.env[name]
      if (secret !== undefined) this.#contents.addText(name, secret)
    }
  }
}

/** 32 bytes in base64url. */
const enrolmentSecretChars = 43
