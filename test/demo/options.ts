import { parseArgs } from 'node:util'

export const storeKinds = ['directory', 's3', 'azure'] as const
export type StoreKind = (typeof storeKinds)[number]

export interface DemoOptions {
  readonly store: StoreKind
  /** Programs and libraries on the disk, at least. */
  readonly dataBytes: number
  readonly keep: boolean
  readonly help: boolean
}

export const helpText = `npm run demo [-- OPTION…]

Builds a disk image with a partition table and an ext4 file system full of this machine's programs and libraries,
backs it up with strata, changes files and backs it up again (incremental, differential), restores every point,
and compares what comes back with the disk of that moment, byte for byte.

  --store directory|s3|azure  where to back up to; for s3 a Ceph RGW, for azure an Azurite is started (default: directory)
  --size SIZE                 programs and libraries on the disk, such as 512M or 4G (default: 1G)
  --keep                      leave the disk, the store and what was restored in demo-out/
  --help                      this text

Ends with 0 only when every point came back as it was.
`

/** Throws an Error that says what is wrong with the command line. */
export function parseDemoOptions(args: readonly string[]): DemoOptions {
  const { values } = parseArgs({
    args: [...args],
    options: {
      store: { type: 'string', default: 'directory' },
      size: { type: 'string', default: '1G' },
      keep: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  })
  const store = storeKinds.find((kind) => kind === values.store)
  if (store === undefined) throw new Error(`--store is one of ${storeKinds.join(', ')}, not '${values.store}'`)
  return { store, dataBytes: parseSize(values.size), keep: values.keep, help: values.help }
}

const sizeUnits: Readonly<Record<string, number>> = { M: 1024 ** 2, G: 1024 ** 3 }
const dataBytesMin = 64 * 1024 ** 2

function parseSize(text: string): number {
  const { count, unit } = /^(?<count>[0-9]{1,6})(?<unit>[MG])(?:i?B)?$/i.exec(text)?.groups ?? {}
  const bytes = Number(count) * (sizeUnits[unit?.toUpperCase() ?? ''] ?? Number.NaN)
  if (bytes >= dataBytesMin) return bytes
  throw new Error(`--size takes a size from 64M on, such as 512M or 4G, not '${text}'`)
}
