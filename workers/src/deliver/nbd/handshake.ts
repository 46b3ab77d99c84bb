import type { TlsOptions } from 'node:tls'
import { nbdNameBytesMax, nbdOptionBytesMax, nbdOptionsMax } from '@strata/shared/limits.ts'
import { blockSizesOf, flagsOf, type NbdExport } from './nbd-export.ts'
import type { NbdStream } from './nbd-stream.ts'
import {
  clientFlagsBytes,
  decodeInfoRequest,
  decodeMetaContextRequest,
  decodeOptionHeader,
  encodeExportName,
  encodeGreeting,
  encodeInfoBlockSize,
  encodeInfoExport,
  encodeInfoText,
  encodeMetaContext,
  encodeOptionReply,
  encodeServerEntry,
  handshakeFlags,
  infoTypes,
  optionHeaderBytes,
  optionReplies,
  options,
} from './protocol.ts'

/** What server and client agree on before the first request: the fixed newstyle handshake. */
export interface NbdOffer {
  /** The first one is also the default, which has no name. */
  readonly exports: readonly NbdExport[]
  /** Where it is given, nobody gets anything without TLS. */
  readonly tls: TlsOptions | undefined
}

export interface Agreement {
  readonly export: NbdExport
  readonly isStructured: boolean
  /** The client may ask what lies where. */
  readonly hasAllocation: boolean
}

/** The only context that there is, and the number that answers tell it by. */
const allocationContext = 'base:allocation'
export const allocationContextId = 1

/** undefined: they have come to none, and the connection is over. */
export async function agree(stream: NbdStream, offer: NbdOffer): Promise<Agreement | undefined> {
  return await new Handshake(stream, offer).run()
}

/** `undefined` while the talk goes on. */
type Outcome = Agreement | 'over' | undefined

class Handshake {
  readonly #stream: NbdStream
  readonly #offer: NbdOffer
  #noZeroes = false
  #isStructured = false
  /** Of which export the context was chosen. */
  #allocationOf: NbdExport | undefined

  constructor(stream: NbdStream, offer: NbdOffer) {
    this.#stream = stream
    this.#offer = offer
  }

  async run(): Promise<Agreement | undefined> {
    await this.#stream.write(encodeGreeting())
    const flags = (await this.#stream.read(clientFlagsBytes))?.readUInt32BE(0)
    if (flags === undefined || (flags & ~(handshakeFlags.fixedNewstyle | handshakeFlags.noZeroes)) !== 0)
      return undefined
    this.#noZeroes = (flags & handshakeFlags.noZeroes) !== 0
    for (let count = 0; count < nbdOptionsMax; count += 1) {
      const outcome = await this.#option()
      if (outcome !== undefined) return outcome === 'over' ? undefined : outcome
    }
    return undefined
  }

  async #option(): Promise<Outcome> {
    const head = await this.#stream.read(optionHeaderBytes)
    const header = head === undefined ? undefined : decodeOptionHeader(head)
    if (header === undefined) return 'over'
    const { option, lengthBytes } = header
    if (lengthBytes > nbdOptionBytesMax) {
      await this.#reply(option, optionReplies.tooBig)
      return 'over'
    }
    const data = await this.#stream.read(lengthBytes)
    if (data === undefined) return 'over'
    if (this.#offer.tls !== undefined && !this.#stream.isSecure)
      return await this.#beforeTls(option, data, this.#offer.tls)
    return await this.#answer(option, data)
  }

  /** Until then a client learns nothing, not even which exports there are. */
  async #beforeTls(option: number, data: Buffer, tls: TlsOptions): Promise<Outcome> {
    if (option === options.exportName) return 'over'
    if (option === options.abort) return await this.#abort()
    if (option !== options.startTls) return await this.#reply(option, optionReplies.tlsRequired)
    if (data.length > 0) return await this.#reply(option, optionReplies.invalid)
    await this.#reply(option, optionReplies.ack)
    return (await this.#stream.secure(tls)) ? undefined : 'over'
  }

  async #answer(option: number, data: Buffer): Promise<Outcome> {
    switch (option) {
      case options.exportName:
        return await this.#exportName(data)
      case options.abort:
        return await this.#abort()
      case options.list:
        return await this.#list(data)
      case options.startTls:
        return await this.#reply(option, this.#stream.isSecure ? optionReplies.invalid : optionReplies.policy)
      case options.info:
      case options.go:
        return await this.#info(option, data)
      case options.structuredReply:
        return await this.#structuredReply(data)
      case options.listMetaContext:
      case options.setMetaContext:
        return await this.#metaContext(option, data)
      default:
        return await this.#reply(option, optionReplies.unsupported)
    }
  }

  /** An old way to say what one wants, which has no way to say no. */
  async #exportName(data: Buffer): Promise<Outcome> {
    const found = this.#find(data.toString())
    if (found === undefined) return 'over'
    const flags = flagsOf(found, this.#isStructured)
    const isHeard = await this.#stream.write(encodeExportName(found.image.sizeBytes, flags, this.#noZeroes))
    return isHeard ? this.#agreement(found) : 'over'
  }

  async #abort(): Promise<Outcome> {
    await this.#reply(options.abort, optionReplies.ack)
    return 'over'
  }

  async #list(data: Buffer): Promise<Outcome> {
    if (data.length > 0) return await this.#reply(options.list, optionReplies.invalid)
    for (const { name } of this.#offer.exports) {
      await this.#reply(options.list, optionReplies.server, encodeServerEntry(name))
    }
    return await this.#reply(options.list, optionReplies.ack)
  }

  async #info(option: number, data: Buffer): Promise<Outcome> {
    const request = decodeInfoRequest(data)
    if (request === undefined) return await this.#reply(option, optionReplies.invalid)
    const found = this.#find(request.name)
    if (found === undefined) return await this.#reply(option, optionReplies.unknown)
    const { name, description, image } = found
    const infos = [
      encodeInfoExport(image.sizeBytes, flagsOf(found, this.#isStructured)),
      ...(request.infos.includes(infoTypes.name) ? [encodeInfoText(infoTypes.name, name)] : []),
      ...(request.infos.includes(infoTypes.description) ? [encodeInfoText(infoTypes.description, description)] : []),
      ...(request.infos.includes(infoTypes.blockSize) ? [encodeInfoBlockSize(blockSizesOf(found))] : []),
    ]
    for (const info of infos) await this.#reply(option, optionReplies.info, info)
    await this.#reply(option, optionReplies.ack)
    return option === options.go ? this.#agreement(found) : undefined
  }

  async #structuredReply(data: Buffer): Promise<Outcome> {
    if (data.length > 0) return await this.#reply(options.structuredReply, optionReplies.invalid)
    this.#isStructured = true
    return await this.#reply(options.structuredReply, optionReplies.ack)
  }

  async #metaContext(option: number, data: Buffer): Promise<Outcome> {
    const isSet = option === options.setMetaContext
    // Whatever was chosen before does not hold any more, also when this cannot be answered.
    if (isSet) this.#allocationOf = undefined
    const request = decodeMetaContextRequest(data)
    if (request === undefined || !this.#isStructured) return await this.#reply(option, optionReplies.invalid)
    const found = this.#find(request.name)
    if (found === undefined) return await this.#reply(option, optionReplies.unknown)
    const { queries } = request
    const isWanted = isSet
      ? queries.includes(allocationContext)
      : queries.length === 0 || queries.some((query) => query === allocationContext || query === 'base:')
    if (isWanted) {
      // In a list it has no number yet.
      const context = encodeMetaContext(isSet ? allocationContextId : 0, allocationContext)
      await this.#reply(option, optionReplies.metaContext, context)
      if (isSet) this.#allocationOf = found
    }
    return await this.#reply(option, optionReplies.ack)
  }

  #agreement(found: NbdExport): Agreement {
    return { export: found, isStructured: this.#isStructured, hasAllocation: this.#allocationOf === found }
  }

  #find(name: string): NbdExport | undefined {
    if (Buffer.byteLength(name) > nbdNameBytesMax) return undefined
    const { exports } = this.#offer
    return name === '' ? exports[0] : exports.find((known) => known.name === name)
  }

  async #reply(option: number, type: number, data?: Uint8Array): Promise<Outcome> {
    return (await this.#stream.write(encodeOptionReply(option, type, data))) ? undefined : 'over'
  }
}
