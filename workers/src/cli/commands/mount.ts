import { rm } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import type { TlsOptions as NodeTlsOptions } from 'node:tls'
import { StrataError } from '@strata/shared/errors.ts'
import { overlayUnitBytes } from '@strata/shared/limits.ts'
import { findPoint } from '@strata/shared/repository/find-point.ts'
import { pointId, type Point } from '@strata/shared/repository/points.ts'
import { withPin } from '@strata/shared/repository/retention/pins.ts'
import type { ThawSpeed } from '@strata/shared/store/archive/archive-access.ts'
import { createStoreMetrics } from '@strata/shared/store/decorators/metrics.ts'
import type { ObjectStore } from '@strata/shared/store/object-store.ts'
import { isWritable, type DiskImage } from '../../deliver/image/disk-image.ts'
import { openImage } from '../../deliver/image/open-image.ts'
import { OverlayFiles, removeDeadOverlays } from '../../deliver/image/overlay/overlay-files.ts'
import { OverlayImage } from '../../deliver/image/overlay/overlay-image.ts'
import { NbdServer, type NbdPlace } from '../../deliver/nbd/nbd-server.ts'
import { ReadPool } from '../../read/read-pool.ts'
import { readAuthorities, readTls } from '../../tls-files.ts'
import { exitCodes, stopIfInterrupted, type Context, type ExitCode } from '../context.ts'
import { isLoopback } from '../input/listen.ts'
import { parsePointReference, type PointReference } from '../input/point-reference.ts'
import { tlsFilesOf, type TlsOptions } from '../input/tls-files.ts'
import { formatBytes, formatCount } from '../output/bytes.ts'
import { factLines } from '../output/table.ts'
import { pinFor } from '../pin.ts'
import { withStore } from '../store.ts'
import { requireThawed } from '../thaw.ts'
import { unlockGivenTenant } from '../unlock.ts'
import { untilInterrupted } from '../until-interrupted.ts'

export interface MountOptions extends TlsOptions {
  readonly socket?: string
  readonly port?: string
  readonly host: string
  readonly tlsClientCa?: string
  readonly writable?: boolean
  readonly overlay?: string
  readonly thaw?: ThawSpeed
  readonly tenant?: string
}

/** `strata mount`: a disk of a point over NBD, until it is interrupted. */
export async function mount(context: Context, text: string, options: MountOptions): Promise<ExitCode> {
  const reference = parsePointReference(text)
  const place = placeOf(context, options)
  const tls = await tlsOf(options)
  if ('host' in place && tls === undefined && !isLoopback(place.host)) {
    context.reporter.warning('without TLS: whoever reaches this address reads the disk; give --tls-cert and --tls-key')
  }
  const metrics = createStoreMetrics()
  const serving = (store: ObjectStore): Promise<void> => serveFrom(context, store, { reference, place, tls, options })
  await withStore(context, serving, { metrics })
  const { requests, bytesReceived } = metrics.totals()
  context.reporter.note(`${formatCount(requests, 'request')}, ${formatBytes(bytesReceived)} read from the store`)
  return exitCodes.success
}

interface Mount {
  readonly reference: PointReference
  readonly place: NbdPlace
  readonly tls: NodeTlsOptions | undefined
  readonly options: MountOptions
}

async function serveFrom(
  context: Context,
  store: ObjectStore,
  { reference, place, tls, options }: Mount,
): Promise<void> {
  const { signal } = context
  const { repository, privateKey } = await unlockGivenTenant(context, store, options.tenant)
  const point = await findPoint(repository, reference.point)
  stopIfInterrupted(signal)
  await requireThawed(context, repository, point, options.thaw)
  await withPin(repository, pinFor(context, point, 'mount'), async () => {
    await using pool = new ReadPool()
    const { disk, image } = await openImage({
      repository,
      privateKey,
      point,
      diskName: reference.disk,
      pool,
      onDamage: () => undefined,
    })
    if (options.writable !== true && options.overlay === undefined) {
      await serve(context, { point, disk, place, tls, image })
      return
    }
    const overlay = await openOverlay(context, options.overlay, { point, disk, image })
    try {
      await serve(context, { point, disk, place, tls, image: new OverlayImage(image, overlay.files) })
    } finally {
      await overlay.end()
    }
  })
}

interface Overlay {
  readonly files: OverlayFiles
  /** What it has stays, or goes. */
  readonly end: () => Promise<void>
}

/** In the directory that was given, to be gone on with; or in one of the state directory, to be thrown away. */
async function openOverlay(
  { settings, workingDirectory, random }: Context,
  given: string | undefined,
  { point, disk, image }: { readonly point: Point; readonly disk: string; readonly image: DiskImage },
): Promise<Overlay> {
  const name = Buffer.from(random(overlayNameBytes)).toString('hex')
  const thrownAway = join(settings.stateDirectory, 'overlays')
  // What killed mounts have left.
  if (given === undefined) await removeDeadOverlays(thrownAway)
  const directory = given === undefined ? join(thrownAway, name) : resolve(workingDirectory, given)
  const files = await OverlayFiles.open(directory, {
    strata: 'overlay',
    version: 1,
    point: pointId(point),
    disk,
    sizeBytes: image.sizeBytes,
    unitBytes: overlayUnitBytes,
  })
  const end = async (): Promise<void> => {
    if (given !== undefined) await files.flush()
    await files.close()
    if (given === undefined) await rm(directory, { recursive: true })
  }
  return { files, end }
}

const overlayNameBytes = 8

async function serve(
  { clock, reporter, signal }: Context,
  {
    point,
    disk,
    place,
    tls,
    image,
  }: Omit<Mount, 'reference' | 'options'> & {
    readonly point: Point
    readonly disk: string
    readonly image: DiskImage
  },
): Promise<void> {
  const { setName, createdAt } = point.manifest
  const description = `disk '${disk}' of ${setName}, ${createdAt}`
  const told = new Set<string>()
  const server = await NbdServer.start({
    exports: [{ name: pointId(point), description, image }],
    tls,
    place,
    clock,
    onError: ({ code, message }) => {
      // A client asks for a bad block again and again.
      if (!told.has(message) && told.size < toldMax) reporter.warning(`${code}: ${message}`)
      told.add(message)
    },
  })
  try {
    const { uri } = server
    reporter.result(
      {
        point: pointId(point),
        disk,
        sizeBytes: image.sizeBytes,
        uri,
        export: pointId(point),
        writable: isWritable(image),
        pid: process.pid,
      },
      [
        ...factLines([
          ['point', pointId(point)],
          ['disk', disk],
          ['size', `${formatBytes(image.sizeBytes)}, ${isWritable(image) ? 'writable' : 'read-only'}`],
          ['at', uri],
        ]),
        '',
        'as a file:   nbdfuse DIRECTORY/disk.img ' + quoted(uri),
        'as a device: nbd-client (needs root), as a copy: nbdcopy or qemu-img convert',
        'Ctrl-C ends it.',
      ],
    )
    await untilInterrupted(signal)
  } finally {
    await server.close()
  }
}

const toldMax = 1000

function quoted(uri: string): string {
  return uri.includes('?') ? `'${uri}'` : uri
}

function placeOf({ workingDirectory }: Context, { socket, port, host }: MountOptions): NbdPlace {
  if ((socket === undefined) === (port === undefined)) {
    throw new StrataError('E_USAGE', 'mount takes --socket PATH or --port N, and one of them')
  }
  if (socket !== undefined) return { socketPath: resolve(workingDirectory, socket) }
  if (!/^[0-9]{1,5}$/.test(port ?? '') || Number(port) > 65_535) {
    throw new StrataError('E_USAGE', `'${port ?? ''}' is no port: 0 (any free one) to 65535`)
  }
  return { host, port: Number(port) }
}

async function tlsOf(options: MountOptions): Promise<NodeTlsOptions | undefined> {
  const files = tlsFilesOf(options)
  const { tlsClientCa } = options
  if (files === undefined) {
    if (tlsClientCa === undefined) return undefined
    throw new StrataError('E_USAGE', '--tls-client-ca goes with --tls-cert and --tls-key')
  }
  const tls = await readTls(files)
  if (tlsClientCa === undefined) return tls
  return { ...tls, ca: await readAuthorities(tlsClientCa), requestCert: true, rejectUnauthorized: true }
}
