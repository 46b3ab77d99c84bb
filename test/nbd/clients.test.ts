import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { mkdir, open, readdir, readFile, stat, symlink } from 'node:fs/promises'
import { after, before, test } from 'node:test'
import { Authority, certificateRequirement } from '../fixtures/certificates.ts'
import { fileHolds } from '../fixtures/file-holds.ts'
import { askStrata, type BackupAnswer } from '../fixtures/strata-program.ts'
import { temporaryDirectory, type TemporaryDirectory } from '../fixtures/temporary.ts'
import { runTool, ToolError } from '../fixtures/tool.ts'
import { redisRequirement } from '../servers/redis.ts'
import { describeWith, rootRequirement } from '../servers/require-server.ts'
import { nbdRequirement } from './clients.ts'
import { Mounted } from './mounted.ts'

/** `strata mount` and the clients that people use: those of libnbd and of QEMU. */
const MiB = 2 ** 20
const diskBytes = 150 * MiB + 512

let directory: TemporaryDirectory
let disk: Buffer
let env: NodeJS.ProcessEnv
let point: string

async function nbd(program: string, ...args: string[]): Promise<string> {
  return (await runTool(program, args)).output
}

describeWith(redisRequirement, 'with a backup', () => {
  before(async () => {
    directory = await temporaryDirectory()
    env = {
      ...process.env,
      STRATA_STORE: `file://${directory.file('store')}`,
      STRATA_STATE: directory.file('state'),
      STRATA_PASSPHRASE: 'a passphrase for tests',
    }
    disk = Buffer.alloc(diskBytes)
    // Far apart, across the blocks and up to the end.
    for (const [at, length] of [
      [0, 5 * MiB],
      [20 * MiB + 77_777, 3 * MiB],
      [90 * MiB, 10],
      [diskBytes - 300, 300],
    ] as const) {
      disk.set(randomBytes(length), at)
    }
    const image = directory.file('disk.img')
    await using file = await open(image, 'w')
    await file.write(disk)
    await askStrata(['init'], { env })
    await askStrata(['backup', `system=${image}`, '--set', 'machine'], { env })
    // The second point has little of its own.
    disk.set(randomBytes(MiB), 40 * MiB)
    await file.write(disk, 40 * MiB, MiB, 40 * MiB)
    point = (await askStrata<BackupAnswer>(['backup', `system=${image}`, '--set', 'machine'], { env })).point
  })
  after(async () => {
    await directory[Symbol.asyncDispose]()
  })

  describeWith(nbdRequirement, 'with clients of others', () => {
    test('nbdinfo sees the export under both names, and what is zeros', async () => {
      const socket = directory.file('info.sock')
      await using mounted = await Mounted.start(['latest:machine', '--socket', socket], env)
      const { uri } = mounted.answer
      assert.equal(mounted.answer.point, point)
      for (const name of ['', point]) {
        const answer = await nbd('nbdinfo', '--json', uri.replace('///', `///${name}`))
        const { protocol, structured, exports } = JSON.parse(answer) as {
          protocol: string
          structured: boolean
          exports: Record<string, unknown>[]
        }
        assert.deepEqual([protocol, structured], ['newstyle-fixed', true])
        const [found = {}] = exports
        assert.equal(found['export-size'], diskBytes)
        assert.deepEqual([found['is_read_only'], found['can_multi_conn'], found['can_df']], [true, true, true])
        assert.deepEqual(found['contexts'], ['base:allocation'])
      }
      assert.match(await nbd('nbdinfo', '--list', uri), new RegExp(`export="${point}"`))
      const map = (await nbd('nbdinfo', '--map', uri))
        .trim()
        .split('\n')
        .map((line) => line.trim().split(/ +/))
      assert.deepEqual(map[0]?.slice(0, 3), ['0', String(5 * MiB), '0'])
      assert.equal(
        map.reduce((sum, [, length]) => sum + Number(length), 0),
        diskBytes,
      )
      assert.deepEqual(map.at(1)?.slice(2), ['3', 'hole,zero'])
      await assert.rejects(nbd('nbdinfo', uri.replace('///', '///nosuch')), ToolError)
      await mounted.stop()
      await assert.rejects(stat(socket), { code: 'ENOENT' })
    })

    test('copies are the disk to the byte, and sparse: nbdcopy with many connections, qemu-img, qemu-io', async () => {
      await using mounted = await Mounted.start(['latest:machine', '--port', '0'], env)
      const { uri } = mounted.answer
      assert.match(uri, /^nbd:\/\/127\.0\.0\.1:[0-9]+$/)
      const copies: [string, string[]][] = [
        ['nbdcopy', ['--connections=4', uri]],
        ['nbdcopy', ['--synchronous', '--request-size=4096', uri]],
        ['qemu-img', ['convert', '-n', '-O', 'raw', uri]],
        ['qemu-img', ['convert', '-W', '-m', '8', '-O', 'raw', uri]],
      ]
      for (const [index, [program, args]] of copies.entries()) {
        const copy = directory.file(`copy-${String(index)}.img`)
        if (args.includes('-n')) await runTool('truncate', ['-s', String(diskBytes), copy])
        await nbd(program, ...args, copy)
        assert.ok(await fileHolds(copy, disk), `${program} ${args.join(' ')}`)
        assert.ok((await stat(copy)).blocks * 512 < 20 * MiB, `${program} ${args.join(' ')} is sparse`)
      }
      assert.match(await nbd('qemu-img', 'compare', '-f', 'raw', uri, directory.file('disk.img')), /identical/)
      const seen = await nbd('qemu-io', '-r', '-f', 'raw', '-c', `read -v ${String(90 * MiB)} 10`, uri)
      const hex = [...disk.subarray(90 * MiB, 90 * MiB + 10)].map((byte) => byte.toString(16).padStart(2, '0'))
      assert.ok(seen.includes(hex.join(' ')), seen)
    })

    test('an older point of the chain is what it was, also for a client that leaves and comes back', async () => {
      const points = await askStrata<{ point: string }[]>(['points'], { env })
      const older = points.map((one) => one.point).find((one) => one !== point) ?? assert.fail()
      await using mounted = await Mounted.start([`${older}:system`, '--socket', directory.file('old.sock')], env)
      const before = Buffer.from(disk)
      before.fill(0, 40 * MiB, 41 * MiB)
      for (const copy of ['old-1.img', 'old-2.img']) {
        await nbd('nbdcopy', mounted.answer.uri, directory.file(copy))
        assert.ok(await fileHolds(directory.file(copy), before))
      }
    })

    test('what clients write is read by all of them, and thrown away or gone on with; the point stays as it is', async () => {
      const socket = directory.file('writable.sock')
      const overlay = directory.file('overlay')
      const write = async (uri: string): Promise<Buffer> => {
        const changed = Buffer.from(disk)
        const commands = [
          ['write', '-P', '0x11', String(10 * MiB + 512), '70000'],
          ['write', '-f', '-P', '0x22', String(100 * MiB), '1M'],
          ['write', '-z', '0', '1M'],
          ['write', '-z', '-u', String(2 * MiB), '64k'],
          ['discard', String(20 * MiB), '1M'],
          ['write', '-P', '0x33', String(diskBytes - 512), '512'],
          ['flush'],
        ].flatMap((words) => ['-c', words.join(' ')])
        await nbd('qemu-io', '-f', 'raw', ...commands, uri)
        changed.fill(0x11, 10 * MiB + 512, 10 * MiB + 70_512)
        changed.fill(0x22, 100 * MiB, 101 * MiB)
        for (const [at, length] of [
          [0, MiB],
          [2 * MiB, 65_536],
          [20 * MiB, MiB],
        ] as const) {
          changed.fill(0, at, at + length)
        }
        return changed.fill(0x33, diskBytes - 512)
      }
      const copyHolds = async (uri: string, content: Buffer, name: string): Promise<void> => {
        await nbd('nbdcopy', '--connections=4', uri, directory.file(name))
        assert.ok(await fileHolds(directory.file(name), content), name)
      }
      {
        await using mounted = await Mounted.start(['latest:machine', '--socket', socket, '--overlay', overlay], env)
        const changed = await write(mounted.answer.uri)
        await copyHolds(mounted.answer.uri, changed, 'changed.img')
        const flags = JSON.parse(await nbd('nbdinfo', '--json', mounted.answer.uri)) as {
          exports: Record<string, unknown>[]
        }
        const [found = {}] = flags.exports
        const members = ['is_read_only', 'can_flush', 'can_fua', 'can_trim', 'can_zero', 'can_multi_conn']
        assert.deepEqual(
          members.map((member) => found[member]),
          [false, true, true, true, true, true],
        )
        await assert.rejects(
          Mounted.start(['latest:machine', '--port', '0', '--overlay', overlay], env),
          /E_OVERLAY_IN_USE/,
        )
      }
      {
        await using again = await Mounted.start(['latest:machine', '--socket', socket, '--overlay', overlay], env)
        await copyHolds(again.answer.uri, await write(again.answer.uri), 'again.img')
      }
      const changed = await readFile(directory.file('again.img'))
      const committed = await askStrata<BackupAnswer & { point: string }>(['overlay', 'commit', overlay], { env })
      assert.deepEqual(
        [committed.kind, committed.warnings.map(({ code }) => code)],
        ['incremental', ['W_KEPT_CHANGES']],
      )
      const restored = directory.file('committed.img')
      await askStrata(['restore', committed.point, '--to', restored], { env })
      assert.ok(await fileHolds(restored, changed))
      await assert.rejects(askStrata(['overlay', 'commit', directory.path], { env }), /E_OVERLAY_FOREIGN/)
      {
        await using mounted = await Mounted.start([point, '--socket', socket, '--writable'], env)
        await copyHolds(mounted.answer.uri, disk, 'fresh.img')
        await copyHolds(mounted.answer.uri, await write(mounted.answer.uri), 'thrown-away.img')
        assert.equal((await readdir(directory.file('state/overlays'))).length, 1)
      }
      assert.deepEqual(await readdir(directory.file('state/overlays')), [])
      await using plain = await Mounted.start([point, '--socket', socket], env)
      await copyHolds(plain.answer.uri, disk, 'plain.img')
      await assert.rejects(nbd('qemu-io', '-f', 'raw', '-c', 'write 0 512', plain.answer.uri), ToolError)
    })

    test('what cannot be is refused: two places, none, a port that is none, a disk that is not there', async () => {
      const refused = async (code: string, ...args: string[]): Promise<void> => {
        await assert.rejects(
          runTool('true', []).then(() => Mounted.start(args, env)),
          new RegExp(code),
        )
      }
      await refused('E_USAGE', 'latest:machine')
      await refused('E_USAGE', 'latest:machine', '--socket', 'x', '--port', '0')
      await refused('E_USAGE', 'latest:machine', '--port', '70000')
      await refused('E_USAGE', 'latest:machine', '--port', '0', '--tls-cert', 'x')
      await refused('E_USAGE', 'latest:machine', '--port', '0', '--tls-client-ca', 'x')
      await refused('E_DISK_UNKNOWN', 'latest:machine:other', '--port', '0')
      await refused('E_CONFIGURATION', 'latest:machine', '--socket', directory.file('disk.img'))
    })
  })

  describeWith(rootRequirement, 'as root', () => {
    describeWith(nbdRequirement, 'with nbdfuse', () => {
      test('nbdfuse shows it as a file', async () => {
        await using mounted = await Mounted.start([point, '--socket', directory.file('fuse.sock')], env)
        const place = directory.file('fuse')
        await mkdir(place)
        const pidFile = directory.file('fuse.pid')
        // It goes into the background when its file is there, and ends when that is unmounted.
        await nbd(
          'sh',
          '-c',
          `nbdfuse -r -P ${pidFile} ${place}/disk.img '${mounted.answer.uri}' >/dev/null 2>&1 &
          for i in $(seq 100); do test -e ${pidFile} && exit 0; sleep 0.1; done; exit 1`,
        )
        try {
          assert.deepEqual(await readdir(place), ['disk.img'])
          assert.ok(await fileHolds(`${place}/disk.img`, disk))
        } finally {
          await nbd('umount', place)
        }
      })
    })
  })

  describeWith(certificateRequirement, 'with certificates', () => {
    describeWith(nbdRequirement, 'over TLS', () => {
      test('nobody is served without TLS, nor without a certificate where one is asked for', async () => {
        const authority = await Authority.create(directory.path, 'authority')
        const server = await authority.issue('server', 'IP:127.0.0.1')
        const client = await authority.issue('client', 'DNS:client')
        const stranger = await (await Authority.create(directory.path, 'other')).issue('stranger', 'DNS:client')
        const certificates = async (name: string, own?: typeof client): Promise<string> => {
          const place = directory.file(name)
          await mkdir(place)
          await symlink(authority.certPath, `${place}/ca-cert.pem`)
          if (own !== undefined) {
            await symlink(own.certPath, `${place}/client-cert.pem`)
            await symlink(own.keyPath, `${place}/client-key.pem`)
          }
          return place
        }
        const [trusted, nobody, foreign] = [
          await certificates('trusted', client),
          await certificates('nobody'),
          await certificates('foreign', stranger),
        ]
        const tls = ['--port', '0', '--tls-cert', server.certPath, '--tls-key', server.keyPath]
        const copy = async ({ answer }: Mounted, place: string): Promise<void> => {
          const to = directory.file(`tls-${place.split('/').at(-1) ?? ''}.img`)
          await nbd('nbdcopy', `${answer.uri}/?tls-certificates=${place}`, to)
          assert.ok(await fileHolds(to, disk))
        }
        await using open = await Mounted.start([point, ...tls], env)
        assert.match(open.answer.uri, /^nbds:/)
        await copy(open, nobody)
        await assert.rejects(nbd('nbdinfo', open.answer.uri.replace('nbds:', 'nbd:')), ToolError)
        await using closed = await Mounted.start([point, ...tls, '--tls-client-ca', authority.certPath], env)
        await copy(closed, trusted)
        await assert.rejects(copy(closed, nobody), ToolError)
        await assert.rejects(copy(closed, foreign), ToolError)
        assert.match(await nbd('nbdinfo', `${closed.answer.uri}/?tls-certificates=${trusted}`), /with TLS/)
      })
    })
  })
})
