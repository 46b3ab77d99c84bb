import type { Socket } from 'node:net'
import { createServer, TLSSocket, type TlsOptions } from 'node:tls'

/** The bytes of one connection, in both directions. */
export class NbdStream {
  #socket: Socket
  #failed = false
  /** Whoever waits for more to be there. */
  #wake: () => void = () => undefined

  constructor(socket: Socket) {
    this.#socket = socket
    this.#listen(socket)
  }

  get isSecure(): boolean {
    return this.#socket instanceof TLSSocket
  }

  /** Exactly so many bytes; undefined: the other side, or the connection, has come to its end. */
  async read(length: number): Promise<Buffer | undefined> {
    if (length === 0) return Buffer.alloc(0)
    for (;;) {
      if (this.#failed) return undefined
      const bytes = this.#socket.read(length) as Buffer | null
      if (bytes !== null) return bytes.length === length ? bytes : undefined
      if (this.#socket.readableEnded || this.#socket.destroyed) return undefined
      // Asked for while a part is there already, `readable` would come at once, and again and again: so it is heard all along.
      await new Promise<void>((resolve) => {
        this.#wake = resolve
      })
    }
  }

  /** All of it, in one piece. False: nobody hears it any more. Until it settles the bytes must not change. */
  async write(...parts: readonly Uint8Array[]): Promise<boolean> {
    const last = parts.at(-1)
    if (last === undefined || this.#failed || this.#socket.destroyed) return false
    return await new Promise((resolve) => {
      this.#socket.cork()
      for (const part of parts.slice(0, -1)) this.#socket.write(part)
      this.#socket.write(last, (error) => {
        resolve(error === undefined || error === null)
      })
      this.#socket.uncork()
    })
  }

  /** From here on both sides speak TLS. False: they came to no agreement, or somebody has spoken too early. */
  async secure(options: TlsOptions): Promise<boolean> {
    const plain = this.#socket
    // Whatever came before the handshake could be anybody's.
    if (plain.readableLength > 0 || this.#failed) return false
    for (const event of wakingEvents) plain.off(event, this.#onChange)
    const server = createServer(options)
    const secured = await new Promise<TLSSocket | undefined>((resolve) => {
      server.once('secureConnection', resolve)
      server.once('tlsClientError', () => {
        resolve(undefined)
      })
      plain.once('close', () => {
        resolve(undefined)
      })
      server.emit('connection', plain)
    })
    if (secured === undefined) return false
    this.#socket = secured
    this.#listen(secured)
    return true
  }

  /** Says that nothing more comes, when all is sent. */
  end(): void {
    this.#socket.end()
  }

  destroy(): void {
    this.#socket.destroy()
  }

  #listen(socket: Socket): void {
    for (const event of wakingEvents) socket.on(event, this.#onChange)
    // What it is about does not matter: the connection is lost, and whoever reads or writes learns that.
    socket.on('error', () => {
      this.#failed = true
      this.#wake()
    })
  }

  readonly #onChange = (): void => {
    this.#wake()
  }
}

const wakingEvents = ['readable', 'end', 'close'] as const
