import { randomBytes, randomUUID } from 'node:crypto'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { CreateBucketCommand, ListBucketsCommand, S3Client } from '@aws-sdk/client-s3'
import {
  freePort,
  makeServerDirectory,
  removeServerDirectory,
  runProgram,
  startProcess,
  waitUntilReady,
  withPortRetries,
} from './processes.ts'
import type { ServerProcess } from './processes.ts'
import type { Requirement } from './require-server.ts'
import type { StoreServer } from './store-server.ts'

/**
 * A real S3 server: Ceph's RADOS Gateway on a cluster of one monitor and one OSD that keeps everything in memory.
 *
 * Debian packages: ceph-mon ceph-osd radosgw ceph-common (apt-get install --no-install-recommends).
 *
 * It is up in about a second because the monitor agrees with itself at once (`paxos propose interval`) and no manager
 * runs, which only counts statistics. So every test file starts its own. Runs as root and as an ordinary user.
 */
export interface CephRgwOptions {
  /** What the objects may fill; taken only as they come. */
  readonly memoryBytesMax?: number
  /** More lines for ceph.conf, such as `rgw lc debug interval`. */
  readonly settings?: Readonly<Record<string, string | number>>
}

export interface CephRgw extends StoreServer {
  /** One that keeps versions and can lock them. */
  createLockedBucket(bucket: string): Promise<void>
  /** For whatever somebody with all credentials does to it. */
  client(): S3Client
  readonly accessKeyId: string
  readonly secretAccessKey: string
  readonly region: string
}

const GiB = 1024 ** 3
const memoryBytesDefault = 4 * GiB
const readyPatienceMs = 30_000
const region = 'us-east-1'

export const cephRgwRequirement: Requirement = {
  name: 'Ceph RGW',
  programs: ['ceph', 'ceph-authtool', 'monmaptool', 'ceph-mon', 'ceph-osd', 'radosgw', 'radosgw-admin'],
  remedy: 'apt-get install --no-install-recommends ceph-mon ceph-osd radosgw ceph-common',
}

export async function startCephRgw(options: CephRgwOptions = {}): Promise<CephRgw> {
  return await withPortRetries(async () => await startCluster(options))
}

interface Cluster {
  readonly directory: string
  readonly accessKeyId: string
  readonly secretAccessKey: string
}

async function startCluster(options: CephRgwOptions): Promise<CephRgw> {
  const directory = await makeServerDirectory('ceph')
  const cluster: Cluster = {
    directory,
    accessKeyId: randomBytes(10).toString('hex').toUpperCase(),
    secretAccessKey: randomBytes(20).toString('hex'),
  }
  const servers: ServerProcess[] = []
  const stop = async (): Promise<void> => {
    for (const server of servers.toReversed()) await server.stop()
    await removeServerDirectory(directory)
  }
  try {
    const endpoint = await startDaemons(cluster, options, servers)
    return describeCluster(cluster, endpoint, stop)
  } catch (error) {
    await stop()
    throw error
  }
}

/** @returns where the gateway answers */
async function startDaemons(cluster: Cluster, options: CephRgwOptions, servers: ServerProcess[]): Promise<string> {
  const { directory } = cluster
  const clusterId = randomUUID()
  const osdId = randomUUID()
  const monitorAddress = `v2:127.0.0.1:${String(await freePort())}`
  const run = async (program: string, ...args: string[]): Promise<string> => await runProgram(program, args, directory)
  const start = (name: string, program: string, ...args: string[]): ServerProcess => {
    const server = startProcess({
      program,
      args: ['-c', 'ceph.conf', ...args, '-f'],
      directory,
      name,
      endsAtOnce: true,
    })
    servers.push(server)
    return server
  }

  await writeFile(join(directory, 'ceph.conf'), configuration(directory, clusterId, monitorAddress, options))
  await makeKeys(run)
  await run('monmaptool', '--create', '--fsid', clusterId, '--addv', 'a', `[${monitorAddress}]`, 'monmap')
  await run('ceph-mon', '-c', 'ceph.conf', '-i', 'a', '--mkfs', '--monmap', 'monmap', '--keyring', 'keyring')
  start('mon', 'ceph-mon', '-i', 'a')
  await run('ceph', '-c', 'ceph.conf', '--connect-timeout', '20', 'osd', 'new', osdId, '0')
  await mkdir(join(directory, 'osd'))
  // With another uuid than `osd new` got, the OSD would never come up.
  await run('ceph-osd', '-c', 'ceph.conf', '-i', '0', '--mkfs', '--osd-uuid', osdId)
  start('osd', 'ceph-osd', '-i', '0')
  const keys = ['--access-key', cluster.accessKeyId, '--secret', cluster.secretAccessKey]
  const user = ['user', 'create', '--uid', 'strata', '--display-name', 'strata', ...keys]
  await run('radosgw-admin', '-c', 'ceph.conf', '-n', 'client.rgw', ...user)
  // Not before it is needed: until then somebody else might take it.
  const rgwPort = await freePort()
  // Without tcp_nodelay every second answer waits 40 ms for an acknowledgement.
  const frontend = `beast endpoint=127.0.0.1:${String(rgwPort)} tcp_nodelay=1`
  const gateway = start('rgw', 'radosgw', '-n', 'client.rgw', '--rgw-frontends', frontend)
  const endpoint = `http://127.0.0.1:${String(rgwPort)}`
  const client = clientOf(cluster, endpoint)
  await waitUntilReady(gateway, 'radosgw', readyPatienceMs, async () => await knowsUs(client))
  client.destroy()
  return endpoint
}

/** Somebody else's server could answer there as well, but not to our keys. */
async function knowsUs(client: S3Client): Promise<boolean> {
  return await client.send(new ListBucketsCommand()).then(
    () => true,
    () => false,
  )
}

function clientOf({ accessKeyId, secretAccessKey }: Cluster, endpoint: string): S3Client {
  const credentials = { accessKeyId, secretAccessKey }
  return new S3Client({ endpoint, region, credentials, forcePathStyle: true, maxAttempts: 1 })
}

function configuration(directory: string, clusterId: string, monitorAddress: string, options: CephRgwOptions): string {
  const settings: Record<string, string | number> = {
    fsid: clusterId,
    'mon host': monitorAddress,
    'mon initial members': 'a',
    'public addr': '127.0.0.1',
    'cluster addr': '127.0.0.1',
    'ms bind ipv6': 'false',
    // radosgw insists on cephx.
    'auth cluster required': 'cephx',
    'auth service required': 'cephx',
    'auth client required': 'cephx',
    keyring: join(directory, 'keyring'),
    'run dir': directory,
    'admin socket': join(directory, '$name.asok'),
    'log file': join(directory, '$name.messages'),
    'crash dir': directory,
    'mon data': join(directory, 'mon'),
    'osd data': join(directory, 'osd'),
    'osd objectstore': 'memstore',
    'memstore device bytes': options.memoryBytesMax ?? memoryBytesDefault,
    'osd pool default size': 1,
    'osd pool default min size': 1,
    'mon allow pool size one': 'true',
    'osd crush chooseleaf type': 0,
    'osd pool default pg num': 4,
    'osd pool default pgp num': 4,
    // Every pool that radosgw creates would wait for a second or two.
    'paxos propose interval': 0.02,
    'paxos min wait': 0.01,
    // A well filled disk under the temporary directory must not stop the monitor, which writes next to nothing there.
    'mon data avail crit': 1,
    'mon data avail warn': 2,
    'rgw enable usage log': 'false',
    ...options.settings,
  }
  const lines = Object.entries(settings).map(([name, value]) => `${name} = ${String(value)}\n`)
  return `[global]\n${lines.join('')}`
}

async function makeKeys(run: (program: string, ...args: string[]) => Promise<string>): Promise<void> {
  const keys: Readonly<Record<string, readonly string[]>> = {
    'mon.': ['mon', 'allow *'],
    'client.admin': ['mon', 'allow *', 'osd', 'allow *', 'mgr', 'allow *'],
    'osd.0': ['mon', 'allow profile osd', 'osd', 'allow *', 'mgr', 'allow profile osd'],
    'client.rgw': ['mon', 'allow rw', 'osd', 'allow rwx', 'mgr', 'allow rw'],
  }
  await run('ceph-authtool', '--create-keyring', 'keyring')
  for (const [name, grants] of Object.entries(keys)) {
    const caps = grants.flatMap((grant, index) => (index % 2 === 0 ? ['--cap', grant] : [grant]))
    await run('ceph-authtool', 'keyring', '--gen-key', '-n', name, ...caps)
  }
}

function describeCluster(cluster: Cluster, endpoint: string, stop: () => Promise<void>): CephRgw {
  const { accessKeyId, secretAccessKey } = cluster
  const createBucket = async (Bucket: string, locks: boolean): Promise<void> => {
    const client = clientOf(cluster, endpoint)
    await client.send(new CreateBucketCommand({ Bucket, ...(locks ? { ObjectLockEnabledForBucket: true } : {}) }))
    client.destroy()
  }
  return {
    endpoint,
    accessKeyId,
    secretAccessKey,
    region,
    env: { AWS_ACCESS_KEY_ID: accessKeyId, AWS_SECRET_ACCESS_KEY: secretAccessKey },
    storeUrl: (bucket, prefix = '') => {
      const parameters = new URLSearchParams({ endpoint, region, pathStyle: 'true' })
      return `s3://${bucket}${prefix === '' ? '' : `/${prefix}`}?${parameters.toString()}`
    },
    createBucket: async (bucket) => {
      await createBucket(bucket, false)
    },
    createLockedBucket: async (bucket) => {
      await createBucket(bucket, true)
    },
    client: () => clientOf(cluster, endpoint),
    stop,
  }
}
