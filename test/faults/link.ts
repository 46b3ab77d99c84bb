import {
  startFaultInjector,
  type Behind,
  type Fault,
  type FaultInjector,
  type SeenRequest,
} from '../servers/fault-injector.ts'
import type { GatewayEvent, LinkFault, Requests, StoreEvent } from './scenario.ts'

type Event = GatewayEvent | StoreEvent

/** A connection that can be spoiled: what goes over it is counted by what it is, and the n-th of it sets things off. */
export class Link {
  readonly #injector: FaultInjector
  readonly #eventOf: (request: SeenRequest) => Event
  readonly #seen = new Map<Event, number>()
  #faults: readonly { readonly how: LinkFault; readonly at: Requests }[] = []
  #watchers: { readonly event: Event; readonly nth: number; readonly act: () => void }[] = []
  /** Requests that were spoiled. */
  spoiled = 0

  static async toGateways(behind: Behind): Promise<Link> {
    return new Link(await startFaultInjector(behind), gatewayEventOf)
  }

  static async toStore(origin: string): Promise<Link> {
    return new Link(await startFaultInjector(origin), storeEventOf)
  }

  private constructor(injector: FaultInjector, eventOf: (request: SeenRequest) => Event) {
    this.#injector = injector
    this.#eventOf = eventOf
    this.heal()
  }

  get origin(): string {
    return this.#injector.origin
  }

  /** From now on; counting begins anew. */
  spoil(faults: readonly { readonly how: LinkFault; readonly at: Requests }[]): void {
    this.#seen.clear()
    this.#watchers = []
    this.#faults = faults
    this.#injector.setPlan((request) => this.#faultAt(request))
  }

  heal(): void {
    this.spoil([])
  }

  /** Once, when the n-th of these requests is seen. */
  at(event: Event, nth: number, act: () => void): void {
    this.#watchers.push({ event, nth, act })
  }

  async stop(): Promise<void> {
    await this.#injector.stop()
  }

  #faultAt(request: SeenRequest): Fault | undefined {
    const event = this.#eventOf(request)
    const numbers = new Map([event, 'any' as const].map((what) => [what, (this.#seen.get(what) ?? 0) + 1]))
    for (const [what, number] of numbers) this.#seen.set(what, number)
    for (const watcher of this.#watchers) if (numbers.get(watcher.event) === watcher.nth) watcher.act()
    const struck = this.#faults.find(({ at: { event: what, from, count } }) => {
      const number = numbers.get(what) ?? 0
      return number >= from && number < from + count
    })
    if (struck === undefined) return undefined
    this.spoiled += 1
    return faults[struck.how]
  }
}

const slowDown = '<?xml version="1.0"?><Error><Code>SlowDown</Code><Message>Reduce your request rate.</Message></Error>'

const faults: Readonly<Record<LinkFault, Fault>> = {
  cut: { kind: 'cut' },
  'cut upload': { kind: 'cut-upload' },
  'lose answer': { kind: 'lose-answer' },
  'cut answer': { kind: 'cut-answer' },
  hang: { kind: 'hang' },
  '500': { kind: 'answer', status: 500, body: 'oops' },
  '503': { kind: 'answer', status: 503, headers: { 'content-type': 'application/xml' }, body: slowDown },
  '429': { kind: 'answer', status: 429, headers: { 'retry-after': '1' } },
}

function gatewayEventOf({ method, url }: SeenRequest): GatewayEvent {
  const path = url.split('?')[0] ?? ''
  if (path === '/v1/sessions') return 'open'
  if (path.endsWith('/digests')) return 'digests'
  if (path.endsWith('/uploads')) return 'upload'
  if (path.endsWith('/staged') || (method === 'PUT' && path.includes('/segments/'))) return 'segment'
  if (path.endsWith('/end')) return 'end'
  if (path.endsWith('/events')) return 'events'
  return 'any'
}

function storeEventOf({ method, url }: SeenRequest): StoreEvent {
  if (method === 'PUT') return 'put'
  if (method === 'DELETE' || url.includes('delete')) return 'delete'
  return url.includes('list-type=') ? 'list' : 'get'
}
