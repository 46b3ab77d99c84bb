import { lstat, rm } from 'node:fs/promises'
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net'
import { dirname } from 'node:path'
import type { Clock } from '@strata/shared/clock.ts'
import { StrataError, systemErrorCode } from '@strata/shared/errors.ts'
import { nbdConnectionsMax, nbdHandshakeMsMax, nbdHeldBytesMax } from '@strata/shared/limits.ts'
import { isDirectory } from '@strata/shared/store/directory-writer.ts'
import { agree, type NbdOffer } from './handshake.ts'
import { HeldMemory } from './held-memory.ts'
import { NbdStream } from './nbd-stream.ts'
import { answerRequests } from './transmission.ts'

/** Where clients find the server: a socket in the file system, or an address. */
export type NbdPlace = { readonly socketPath: string } | { readonly host: string; readonly port: number }

export interface NbdServerOptions extends NbdOffer {
  readonly place: NbdPlace
  readonly clock: Clock
  /** A request that could not be answered. */
  readonly onError: (error: StrataError) => void
}

/** Serves disks over NBD until it is closed. */
export class NbdServer {
  readonly #options: NbdServerOptions
  readonly #server: Server
  readonly #streams = new Map<NbdStream, Promise<void>>()
  readonly #held = new HeldMemory(nbdHeldBytesMax)

  private constructor(options: NbdServerOptions) {
    this.#options = options
    this.#server = createServer({ noDelay: true }, (socket) => {
      this.#serve(socket)
    })
  }

  /** An address that is taken, or cannot be: E_CONFIGURATION. */
  static async start(options: NbdServerOptions): Promise<NbdServer> {
    const server = new NbdServer(options)
    await server.#listen()
    return server
  }

  /** What clients take. */
  get uri(): string {
    const { place, tls } = this.#options
    const scheme = tls === undefined ? 'nbd' : 'nbds'
    if ('socketPath' in place) return `${scheme}+unix:///?socket=${encodeURI(place.socketPath)}`
    const { address, port, family } = this.#server.address() as AddressInfo
    return `${scheme}://${family === 'IPv6' ? `[${address}]` : address}:${String(port)}`
  }

  async close(): Promise<void> {
    const closed = new Promise<void>((resolve) => {
      this.#server.close(() => {
        resolve()
      })
    })
    for (const stream of this.#streams.keys()) stream.destroy()
    await Promise.all(this.#streams.values())
    await closed
    const { place } = this.#options
    if ('socketPath' in place) await rm(place.socketPath, { force: true })
  }

  async #listen(): Promise<void> {
    const { place } = this.#options
    if ('host' in place) {
      await this.#listenAt(() => this.#server.listen(place.port, place.host))
      return
    }
    await makeWayForSocket(place.socketPath)
    await this.#listenAt(() => {
      // The socket is made within the call, and is nobody else's.
      const mask = process.umask(0o177)
      try {
        this.#server.listen(place.socketPath)
      } finally {
        process.umask(mask)
      }
    })
  }

  async #listenAt(listen: () => void): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', (error) => {
        reject(listenError(this.#options.place, systemErrorCode(error) ?? error.message, error))
      })
      this.#server.once('listening', resolve)
      listen()
    })
  }

  #serve(socket: Socket): void {
    const stream = new NbdStream(socket)
    if (this.#streams.size >= nbdConnectionsMax) {
      stream.destroy()
      return
    }
    const serving = this.#talk(stream).finally(() => {
      this.#streams.delete(stream)
    })
    this.#streams.set(stream, serving)
  }

  async #talk(stream: NbdStream): Promise<void> {
    const { clock, onError } = this.#options
    const agreed = new AbortController()
    const patience = clock.sleep(nbdHandshakeMsMax, agreed.signal).then(
      () => {
        stream.destroy()
      },
      () => undefined,
    )
    const agreement = await agree(stream, this.#options)
    agreed.abort()
    await patience
    if (agreement === undefined) {
      stream.end()
      return
    }
    await answerRequests({ stream, agreement, held: this.#held, onError })
    stream.end()
  }
}

/** A socket whose server was killed is in nobody's way; and what the system says only by its number is said here. */
async function makeWayForSocket(path: string): Promise<void> {
  if (Buffer.byteLength(path) > socketPathBytesMax) {
    throw listenError({ socketPath: path }, `its name is longer than ${String(socketPathBytesMax)} bytes`)
  }
  try {
    const found = await lstat(path)
    if (found.isSocket() && (await isDead(path))) await rm(path)
  } catch (error) {
    if (systemErrorCode(error) !== 'ENOENT') throw listenError({ socketPath: path }, String(error), error)
    if (!(await isDirectory(dirname(path)))) throw listenError({ socketPath: path }, `there is no ${dirname(path)}`)
  }
}

/** unix(7): what sun_path takes, without the byte that ends it. */
const socketPathBytesMax = 107

async function isDead(path: string): Promise<boolean> {
  const socket = connect(path)
  const answer = await new Promise<string | undefined>((resolve) => {
    socket.once('connect', () => {
      resolve(undefined)
    })
    socket.once('error', (error) => {
      resolve(systemErrorCode(error))
    })
  })
  socket.destroy()
  return answer === 'ECONNREFUSED'
}

function listenError(place: NbdPlace, why: string, cause?: unknown): StrataError {
  const where = 'socketPath' in place ? place.socketPath : `${place.host}:${String(place.port)}`
  return new StrataError('E_CONFIGURATION', `the server cannot listen at ${where}: ${why}`, { cause })
}
