/**
 * Counts the memory of images that replies are sent from, over all clients of a server. Where it is all in use a reply is
 * copied: so clients that do not take their answers keep nobody else from reading.
 */
export class HeldMemory {
  readonly #bytesMax: number
  #bytes = 0

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax
  }

  /** False: there is no room for it. */
  take(bytes: number): boolean {
    if (this.#bytes + bytes > this.#bytesMax) return false
    this.#bytes += bytes
    return true
  }

  give(bytes: number): void {
    this.#bytes -= bytes
  }
}
