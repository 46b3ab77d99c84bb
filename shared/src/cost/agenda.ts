import { dayMs } from '../policy/wall-time.ts'

/** What becomes due on which day, for whoever looks at the start of the forecast and then at each midnight in UTC. */
export class Agenda<Item> {
  readonly #startMs: number
  readonly #days = new Map<number, Item[]>()
  #nextDay: number

  constructor(startMs: number) {
    this.#startMs = startMs
    this.#nextDay = Math.floor(startMs / dayMs)
  }

  add(atMs: number, item: Item): void {
    const day = atMs <= this.#startMs ? this.#nextDay : Math.max(this.#nextDay, Math.ceil(atMs / dayMs))
    const items = this.#days.get(day)
    if (items === undefined) this.#days.set(day, [item])
    else items.push(item)
  }

  /** Each item once, at the first look at its time or after it; what is added meanwhile for now comes along. */
  *due(nowMs: number): Generator<Item> {
    const today = Math.floor(nowMs / dayMs)
    while (this.#nextDay <= today) {
      const items = this.#days.get(this.#nextDay)
      const item = items?.pop()
      if (item !== undefined) yield item
      else {
        this.#days.delete(this.#nextDay)
        this.#nextDay += 1
      }
    }
  }
}
