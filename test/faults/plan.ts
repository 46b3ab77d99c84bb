import { KiB } from '../end-to-end/place.ts'
import { Chance } from './chance.ts'
import { longPauseMs } from './limits.ts'
import type {
  AgentPlan,
  Change,
  DeadlyCall,
  Fault,
  GatewayEvent,
  LinkFault,
  Round,
  Scenario,
  StoreEvent,
  Victim,
  When,
} from './scenario.ts'

/** The scenario of a seed: the same for the same seed. */
export function planOf(seed: number): Scenario {
  const chance = new Chance(`strata faults ${String(seed)}`)
  const frame = frameOf(seed, chance.part('frame'))
  const rounds = Array.from({ length: chance.whole(2, 3) }, (_, index) => {
    return roundOf(frame, index, chance.part(`round ${String(index)}`))
  })
  return { ...frame, rounds }
}

type Frame = Omit<Scenario, 'rounds'>

function frameOf(seed: number, chance: Chance): Frame {
  const store = chance.percent(25) ? 's3' : 'directory'
  const agents = Array.from({ length: chance.one([1, 1, 1, 2, 2, 3]) }, (_, index): AgentPlan => {
    const disks = chance.one([1, 1, 1, 2])
    return { name: `web${String(index + 1)}`, diskBytes: Array.from({ length: disks }, () => diskBytesOf(chance)) }
  })
  return {
    seed,
    store,
    staged: store === 's3' && chance.percent(70),
    shape: chance.percent(30) ? 'alone' : 'pair',
    sessionLifeMs: chance.percent(10) ? chance.whole(2000, 6000) : undefined,
    agents,
  }
}

/** Not always whole blocks. */
function diskBytesOf(chance: Chance): number {
  return chance.whole(4, 48) * 256 * KiB + chance.one([0, 0, 512, 4096, 64 * KiB])
}

function roundOf(frame: Frame, index: number, chance: Chance): Round {
  const isQuiet = index === 0 && chance.percent(35)
  const faults = Array.from({ length: isQuiet ? 0 : chance.one([1, 1, 2, 2, 3]) }, (_, number) => {
    return faultOf(frame, index, chance.part(`fault ${String(number)}`))
  })
  return {
    changes: frame.agents.map(({ diskBytes }) => {
      const count = index === 0 ? 0 : chance.one([0, 1, 2, 2, 3, 4])
      return Array.from({ length: count }, () => changeOf(diskBytes.length, chance))
    }),
    full: frame.agents.map(() => index > 0 && chance.percent(20)),
    faults,
  }
}

function changeOf(disks: number, chance: Chance): Change {
  return {
    disk: chance.whole(0, disks - 1),
    what: chance.one<Change['what']>([
      'overwrite',
      'overwrite',
      'overwrite',
      'overwrite',
      'overwrite',
      'zero',
      'undo',
      'undo',
      'undo',
      'grow',
    ]),
    from: chance.whole(0, 999),
    length: chance.one([1, 100, 300, 600, 900]),
  }
}

type Maker = (frame: Frame, chance: Chance) => Fault

const makers: Readonly<Record<Fault['kind'], Maker>> = {
  kill: (frame, chance) => ({
    kind: 'kill',
    whom: victimOf(frame, chance),
    when: whenOf(chance),
    backAfterMs: chance.whole(0, 1500),
  }),
  pause: (frame, chance) => ({
    kind: 'pause',
    whom: victimOf(frame, chance),
    when: whenOf(chance),
    forMs: chance.one([300, longPauseMs, longPauseMs]),
  }),
  die: (frame, chance) => {
    const isOfAgent = frame.store === 's3' || chance.percent(45)
    return isOfAgent
      ? { kind: 'die', whom: agentOf(frame, chance), at: deadlyCallOfAgent(chance) }
      : { kind: 'die', whom: serverOf(frame, chance), at: deadlyCallOfServer(chance) }
  },
  network: (_, chance) => ({
    kind: 'network',
    how: chance.one<LinkFault>(['cut', 'cut upload', 'lose answer', 'lose answer', 'cut answer', 'hang', '500', '429']),
    at: { event: chance.one(gatewayEvents), from: chance.whole(1, 5), count: chance.one([1, 1, 2, 5]) },
  }),
  store: (_, chance) => ({
    kind: 'store',
    how: chance.one<LinkFault>(['cut', 'cut upload', 'lose answer', 'lose answer', 'cut answer', 'hang', '500', '503']),
    at: { event: chance.one(storeEvents), from: chance.whole(1, 20), count: chance.one([1, 2, 6, 25]) },
  }),
  'full disk': (_, chance) => ({
    kind: 'full disk',
    where: chance.one(['hand-over', 'state', 'store']),
    freeBytes: chance.whole(8, 80) * 64 * KiB,
  }),
  clock: (_, chance) => ({
    kind: 'clock',
    whom: chance.one(['agents', 'service']),
    afterMs: chance.whole(0, 1500),
    shiftMs: chance.one([-400 * 24, -24, -1, 1, 24, 400 * 24]) * 3600_000,
  }),
  write: (frame, chance) => ({
    kind: 'write',
    ...agentOf(frame, chance),
    afterMs: Array.from({ length: chance.whole(1, 4) }, () => chance.whole(0, 900)),
  }),
  clone: (frame, chance) => ({
    kind: 'clone',
    ...agentOf(frame, chance),
    sameMachine: chance.percent(70),
    afterMs: chance.whole(0, 900),
  }),
  'torn journal': (frame, chance) => ({
    kind: 'torn journal',
    ...agentOf(frame, chance),
    keepThousandth: chance.whole(0, 999),
  }),
  'lost digests': (frame, chance) => ({ kind: 'lost digests', ...agentOf(frame, chance) }),
}

const kindsOften: readonly [Fault['kind'], ...Fault['kind'][]] = [
  'kill',
  ...['kill', 'kill', 'kill', 'kill', 'pause', 'pause', 'die', 'die', 'die', 'network', 'network'].map(
    (kind) => kind as Fault['kind'],
  ),
  'write',
  'clone',
  'clock',
]
const kindsSeldom: readonly [Fault['kind'], ...Fault['kind'][]] = ['full disk', 'torn journal', 'lost digests', 'write']

function faultOf(frame: Frame, round: number, chance: Chance): Fault {
  const often = frame.store === 's3' && chance.percent(50) ? (['store'] as const) : kindsOften
  const kind = chance.percent(15) ? chance.one(kindsSeldom) : chance.one(often)
  // There is nothing yet that could be torn or lost, nor a disk to fill where objects are on a server.
  const isIdle =
    (round === 0 && (kind === 'torn journal' || kind === 'lost digests')) ||
    (kind === 'full disk' && frame.store === 's3')
  return makers[isIdle ? 'kill' : kind](frame, chance)
}

function victimOf(frame: Frame, chance: Chance): Victim {
  const which = chance.whole(1, 100)
  if (which <= 38) return agentOf(frame, chance)
  if (which <= 68) return serverOf(frame, chance)
  if (which <= 93) return { redis: chance.one(['keeps its data', 'loses its data']) }
  return 'everything'
}

function agentOf({ agents }: Frame, chance: Chance): { readonly agent: number } {
  return { agent: chance.whole(0, agents.length - 1) }
}

function serverOf({ shape }: Frame, chance: Chance): { readonly server: number } {
  return { server: shape === 'alone' ? 0 : chance.whole(0, 2) }
}

const gatewayEvents: readonly [GatewayEvent, ...GatewayEvent[]] = [
  'open',
  'digests',
  'upload',
  'segment',
  'segment',
  'end',
  'events',
  'any',
]
const storeEvents: readonly [StoreEvent, ...StoreEvent[]] = ['put', 'put', 'get', 'list', 'delete', 'any', 'any']

function whenOf(chance: Chance): When {
  if (chance.percent(25)) return { afterMs: chance.whole(0, 2000) }
  const event = chance.one<GatewayEvent>(['open', 'upload', 'segment', 'segment', 'segment', 'end', 'end', 'events'])
  const nth = event === 'segment' || event === 'upload' ? chance.whole(1, 10) : chance.one([1, 1, 1, 2])
  return { event, nth, delayMs: chance.one([0, 0, 5, 20, 60, 150]) }
}

function deadlyCallOfAgent(chance: Chance): DeadlyCall {
  const [call, path] = chance.one([
    ['appendFileSync', '/segments'],
    ['appendFileSync', '/segments'],
    ['writeSync', '.sent'],
    ['writeFileSync', '/session.json'],
    ['renameSync', '/sets/'],
    ['renameSync', '.segment'],
  ] as const)
  return { call, path, nth: chance.one([1, 1, 2, 4, 9, 16]), when: chance.one(['before', 'after', 'half']) }
}

function deadlyCallOfServer(chance: Chance): DeadlyCall {
  const [call, path] = chance.one([
    ['link', '/data-'],
    ['link', '/data-'],
    ['link', '/map-'],
    ['link', '/points/'],
    ['link', '/points/'],
    ['link', '/open'],
    ['rename', '/end'],
    ['unlink', '/end'],
    ['unlink', '/open'],
  ] as const)
  const nth = path === '/data-' ? chance.whole(1, 12) : chance.one([1, 1, 1, 2])
  return { call, path, nth, when: chance.one(['before', 'after']) }
}
