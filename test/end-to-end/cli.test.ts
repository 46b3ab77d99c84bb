import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { open, readdir, readFile, rename, rm, stat, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { before, after, describe, test } from 'node:test'
import { pathToFileURL } from 'node:url'
import { strataPath } from '../fixtures/strata-program.ts'
import { temporaryDirectory, type TemporaryDirectory } from '../fixtures/temporary.ts'
import { environmentWithSystemFolders, runTool, type ToolResult } from '../fixtures/tool.ts'
import { redisRequirement } from '../servers/redis.ts'
import { describeWith } from '../servers/require-server.ts'

/** The program as its users have it: a process, a terminal, real disks, a real queue. */
const MiB = 1024 * 1024
const passphrase = 'correct horse battery'
const anyCode = [...Array(256).keys()]

interface Place {
  readonly directory: TemporaryDirectory
  readonly env: NodeJS.ProcessEnv
  readonly run: (...args: readonly string[]) => Promise<ToolResult>
  /** The answer of a run with --json that ends with `exitCode`. */
  readonly ask: (exitCode: number, ...args: readonly string[]) => Promise<unknown>
}

async function makePlace(): Promise<Place> {
  const directory = await temporaryDirectory()
  const env: NodeJS.ProcessEnv = {
    ...process.env,
    STRATA_STORE: pathToFileURL(directory.file('store')).href,
    STRATA_STATE: directory.file('state'),
    STRATA_PASSPHRASE: passphrase,
    // Either opens the tenant; this one is tried first, and costs no time.
    STRATA_KEY_FILE: directory.file('tenant.key'),
  }
  const run = (...args: readonly string[]): Promise<ToolResult> =>
    runTool(strataPath, args, { env, directory: directory.path, goodExitCodes: anyCode })
  const ask = async (exitCode: number, ...args: readonly string[]): Promise<unknown> => {
    const { exitCode: found, output, messages } = await run(...args, '--json')
    assert.equal(found, exitCode, messages)
    return JSON.parse(output)
  }
  return { directory, env, run, ask }
}

interface ErrorAnswer {
  readonly error: { readonly code: string; readonly kind: string; readonly message: string; readonly hint: string }
}

/** Real files in a real file system; data enough for several records. */
async function makeDisk(path: string, sizeBytes: number, from: string): Promise<void> {
  await writeFile(path, '')
  await truncate(path, sizeBytes)
  await runTool('mke2fs', ['-q', '-F', '-t', 'ext4', '-d', from, path])
}

async function writeAt(path: string, offset: number, bytes: Uint8Array): Promise<void> {
  await using file = await open(path, 'r+')
  await file.write(bytes, 0, bytes.length, offset)
}

/** The files of the store whose names begin with `prefix`, the largest first. */
async function objects(directory: TemporaryDirectory, prefix: string): Promise<string[]> {
  const entries = await readdir(directory.file('store'), { recursive: true, withFileTypes: true })
  const paths = entries
    .filter((entry) => entry.isFile() && entry.name.startsWith(prefix))
    .map((entry) => join(entry.parentPath, entry.name))
  const sized = await Promise.all(paths.map(async (path) => ({ path, bytes: (await stat(path)).size })))
  return sized.sort((a, b) => b.bytes - a.bytes).map(({ path }) => path)
}

describeWith(redisRequirement, 'strata, from init to restore', () => {
  let place: Place
  let system: string
  let data: string
  before(async () => {
    place = await makePlace()
    system = place.directory.file('system.img')
    data = place.directory.file('data.img')
    await makeDisk(system, 48 * MiB, join(import.meta.dirname, '../../node_modules/typescript/lib'))
    await makeDisk(data, 16 * MiB, import.meta.dirname)
    await place.ask(0, 'init', '--tenant', 'Baker')
  })
  after(() => place.directory[Symbol.asyncDispose]())

  test('two disks become one point; the answer has all that scripts rely on', async () => {
    const first = (await place.ask(0, 'backup', `system=${system}`, data, '--set', 'web-1')) as Record<string, unknown>
    const promised = 'point set chain kind disks sizeBytes scannedBytes changedBytes storedBytes durationMs warnings'
    for (const member of [...promised.split(' '), 'requests', 'sequence', 'createdAt'])
      assert.ok(member in first, member)
    assert.equal(first['set'], 'web-1')
    assert.equal(first['kind'], 'full')
    assert.equal(first['sizeBytes'], 64 * MiB)
    assert.deepEqual(
      (first['disks'] as { name: string }[]).map(({ name }) => name),
      ['data.img', 'system'],
    )

    await writeAt(data, 9 * MiB, Buffer.from('changed'))
    const second = (await place.ask(0, 'backup', `system=${system}`, data, '--set', 'web-1')) as Record<string, unknown>
    assert.deepEqual([second['kind'], second['chain']], ['incremental', first['chain']])
    assert.equal(second['changedBytes'], 256 * 1024)
    const third = (await place.ask(0, 'backup', data, '--set', 'other', '--block-size', '64K')) as Record<
      string,
      unknown
    >
    assert.equal((third['disks'] as { blockBytes: number }[])[0]?.blockBytes, 64 * 1024)
  })

  test('the points are listed, all or those of a set', async () => {
    const all = (await place.ask(0, 'points')) as Record<string, unknown>[]
    assert.equal(all.length, 3)
    for (const member of 'point set chain kind createdAt sizeBytes storedBytes state'.split(' ')) {
      for (const point of all) assert.ok(member in point, member)
    }
    const some = (await place.ask(0, 'points', '--set', 'web-1')) as Record<string, unknown>[]
    assert.deepEqual(
      some.map(({ kind, state }) => [kind, state]),
      [
        ['full', 'complete'],
        ['incremental', 'complete'],
      ],
    )
    const { error } = (await place.ask(1, 'points', '--set', 'nobody')) as ErrorAnswer
    assert.equal(error.code, 'E_SET_UNKNOWN')
  })

  test('a disk comes back to the byte, by id, by the beginning of an id, and as the latest', async () => {
    const [first] = (await place.ask(0, 'points', '--set', 'web-1')) as { point: string }[]
    const id = first?.point ?? ''
    const target = place.directory.file('restored.img')
    const { error } = (await place.ask(1, 'restore', 'latest:web-1', '--to', target)) as ErrorAnswer
    assert.equal(error.code, 'E_DISK_AMBIGUOUS')
    await place.ask(0, 'restore', 'latest:web-1:data.img', '--to', target)
    assert.ok((await readFile(target)).equals(await readFile(data)))
    const again = (await place.ask(1, 'restore', `${id}:data.img`, '--to', target)) as ErrorAnswer
    assert.equal(again.error.code, 'E_TARGET_EXISTS')
    await place.ask(0, 'restore', `${id.slice(0, 12)}:data.img`, '--to', target, '--force')
    assert.ok(!(await readFile(target)).equals(await readFile(data)))
    await writeAt(target, 9 * MiB, Buffer.from('changed'))
    assert.ok((await readFile(target)).equals(await readFile(data)))
    const unknown = (await place.ask(1, 'restore', 'abcdef0123', '--to', place.directory.file('x'))) as ErrorAnswer
    assert.equal(unknown.error.code, 'E_POINT_UNKNOWN')
  })

  test('a bucket and a key are enough', async () => {
    const keyring = place.directory.file('state/keyring.json')
    await rm(keyring)
    const state = place.directory.file('empty-state')
    const target = place.directory.file('rescued.img')
    const byPassphrase = { ...place.env, STRATA_KEY_FILE: '' }
    await runTool(strataPath, ['--state', state, 'restore', 'latest:web-1:system', '--to', target], {
      env: byPassphrase,
    })
    assert.ok((await readFile(target)).equals(await readFile(system)))
    // Also a backup goes on, in the same chain.
    const { kind } = (await place.ask(0, 'backup', `system=${system}`, data, '--set', 'web-1')) as { kind: string }
    assert.equal(kind, 'incremental')
    assert.equal(await readFile(keyring, 'utf8'), await readFile(join(state, 'keyring.json'), 'utf8'))
    const env = { ...place.env, STRATA_KEY_FILE: '', STRATA_PASSPHRASE: 'wrong' }
    const wrong = await runTool(strataPath, ['restore', 'latest:web-1:system', '--to', 'y', '--json'], {
      env,
      goodExitCodes: [1],
    })
    assert.equal((JSON.parse(wrong.output) as ErrorAnswer).error.code, 'E_KEY_WRONG')
  })

  test('verify says intact of what is intact', async () => {
    const { state, points } = (await place.ask(0, 'verify', '--all')) as { state: string; points: unknown[] }
    assert.deepEqual([state, points.length], ['intact', 4])
    const { output } = await place.run('verify', 'latest:web-1')
    assert.match(output, /1 point intact/)
  })

  test('damage: verify and restore --allow-damaged end with 3 and say what is lost, restore with 1', async () => {
    const [pack = ''] = await objects(place.directory, 'data-')
    const whole = await readFile(pack)
    await writeAt(pack, 1000, Buffer.from('damage'))
    const verified = (await place.ask(3, 'verify', '--all')) as {
      state: string
      damage: { pack: string; points: string[] }[]
    }
    assert.equal(verified.state, 'damaged')
    assert.ok(pack.endsWith(verified.damage[0]?.pack ?? '-'))
    assert.equal(verified.damage[0]?.points.length, 3)
    const disk = 'latest:web-1:system'
    const target = place.directory.file('damaged.img')
    const { error } = (await place.ask(1, 'restore', disk, '--to', target)) as ErrorAnswer
    assert.equal(error.code, 'E_POINT_DAMAGED')
    const lost = (await place.ask(3, 'restore', disk, '--to', target, '--allow-damaged')) as {
      complete: boolean
      damage: { blocks: number }
    }
    assert.deepEqual([lost.complete, lost.damage.blocks], [false, 1])
    const { output } = await place.run('verify', 'latest:web-1')
    assert.match(output, /1 of 1 point damaged; the same damage hits 2 other points/)
    await writeFile(pack, whole)
    await place.ask(0, 'verify', '--all')
  })

  test('a point that vanished from the middle is told, with the whole list', async () => {
    const manifests = (await objects(place.directory, '0000000002')).filter((path) => path.includes('/points/'))
    const [manifest = ''] = manifests
    assert.equal(manifests.length, 1)
    await rename(manifest, place.directory.file('taken'))
    const { exitCode, output, messages } = await place.run('points', '--json')
    assert.equal(exitCode, 1)
    assert.equal((JSON.parse(output) as unknown[]).length, 3)
    assert.match(messages, /E_HISTORY_BROKEN/)
    await rename(place.directory.file('taken'), manifest)
    await place.ask(0, 'points')
  })

  test('bad sources are refused by name, before anything is started', async () => {
    const refused: readonly (readonly [string, string])[] = [
      [place.directory.file('nowhere.img'), 'E_SOURCE_MISSING'],
      [place.directory.path, 'E_SOURCE_KIND'],
      [`\u001b[2Jforged\nline=${data}`, 'E_SOURCE_MISSING'],
    ]
    for (const [source, code] of refused) {
      const { exitCode, output, messages } = await place.run('backup', source, '--set', 'bad', '--json')
      assert.equal(exitCode, 1)
      assert.equal((JSON.parse(output) as ErrorAnswer).error.code, code)
      assert.doesNotMatch((output + messages).replaceAll('\n', ''), /[\p{Cc}\p{Cf}]/u)
    }
    const named = (await place.ask(1, 'backup', data, '--set', 'a\u001b[2J')) as ErrorAnswer
    assert.equal(named.error.code, 'E_SET_NAME')
    const two = (await place.ask(1, 'backup', `a=${data}`, `a=${system}`)) as ErrorAnswer
    assert.equal(two.error.code, 'E_DISK_NAME')
  })

  test('an interrupted backup ends with 130 and leaves no point', async () => {
    const child = spawn(strataPath, ['backup', system, '--set', 'interrupted', '--verbose', '--json'], {
      env: environmentWithSystemFolders(place.env),
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    let output = ''
    let messages = ''
    child.stdout.setEncoding('utf8').on('data', (text: string) => (output += text))
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      if (!messages.includes('backup: open') && (messages + text).includes('backup: open')) child.kill('SIGINT')
      messages += text
    })
    const [code] = (await once(child, 'close')) as [number | null]
    assert.equal(code, 130, messages)
    assert.equal((JSON.parse(output) as ErrorAnswer).error.code, 'E_INTERRUPTED')
    const { error } = (await place.ask(1, 'points', '--set', 'interrupted')) as ErrorAnswer
    assert.equal(error.code, 'E_SET_UNKNOWN')
  })

  test('a bandwidth limit holds for a backup, in the service that it starts, and for a restore', async () => {
    const limited = await makePlace()
    await using _ = limited.directory
    const disk = limited.directory.file('disk.img')
    await writeFile(disk, randomBytes(3 * MiB))
    await limited.ask(0, 'init')
    // A second's worth goes at once, and each 512 KiB of the other 2.5 MiB takes one more: longer than all else together.
    const leastMs = 4500
    for (const args of [
      ['backup', disk, '--set', 'slow'],
      ['restore', 'latest:slow', '--to', limited.directory.file('back.img')],
    ]) {
      const { durationMs } = (await limited.ask(0, ...args, '--bandwidth-limit', '512K')) as { durationMs: number }
      assert.ok(durationMs >= leastMs, `${String(args[0])} took ${String(durationMs)} ms`)
    }
    assert.ok((await readFile(limited.directory.file('back.img'))).equals(await readFile(disk)))
  })

  test('an enrolment token goes from the command line to a script, and neither passphrase nor key file is needed', async () => {
    const env = { ...place.env, STRATA_PASSPHRASE: '', STRATA_KEY_FILE: '' }
    const { output } = await runTool(strataPath, ['token', 'create', '--quiet', '--note', 'Graz'], { env })
    assert.match(output, /^strata-enrol-[0-9a-f]{32}-[0-9a-f]{32}-[A-Za-z0-9_-]{43}\n$/)
    const [token, none] = (await place.ask(0, 'token', 'list')) as { id: string; state: string }[]
    assert.deepEqual([output.includes(token?.id ?? '-'), token?.state, none], [true, 'open', undefined])
    await place.ask(0, 'token', 'revoke', token?.id ?? '')
    const { error } = (await place.ask(1, 'endpoint', 'show', 'abcdef')) as ErrorAnswer
    assert.equal(error.code, 'E_ENDPOINT_UNKNOWN')
  })

  test('listing loads neither cloud nor queue nor thread pool: it has 0.7 s', async () => {
    const hook = `
      import { registerHooks } from 'node:module'
      registerHooks({ load: (url, context, next) => { process.stderr.write(url + '\\n'); return next(url, context) } })`
    const main = join(import.meta.dirname, '../../workers/src/cli/main.ts')
    const args = ['--import', `data:text/javascript,${encodeURIComponent(hook)}`, main, 'points']
    const { messages } = await runTool(process.execPath, args, { env: place.env })
    assert.match(messages, /commands\/points\.ts/)
    assert.doesNotMatch(messages, /aws-sdk|azure|bullmq|ioredis|koffi|piscina|zstd|blake/)
  })
})

/** A question that nobody answers would wait for ever. */
const terminalPatienceMs = 120_000

describe('strata on a terminal', { timeout: terminalPatienceMs }, () => {
  /** Runs strata on a terminal of its own and answers its questions. */
  async function onTerminal(
    place: Place,
    signal: AbortSignal,
    args: readonly string[],
    answers: readonly (readonly [string, string])[],
  ): Promise<ToolResult> {
    const command = [strataPath, ...args].map((part) => `'${part}'`).join(' ')
    const child = spawn('script', ['--quiet', '--return', '--command', command, '/dev/null'], {
      env: {
        ...environmentWithSystemFolders(place.env),
        STRATA_PASSPHRASE: '',
        STRATA_KEY_FILE: '',
        TERM: 'xterm',
        COLUMNS: '100',
      },
      stdio: ['pipe', 'pipe', 'inherit'],
      signal,
    })
    const waiting = [...answers]
    let output = ''
    let unanswered = ''
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      output += text
      unanswered += text
      const [next] = waiting
      if (next === undefined || !unanswered.includes(next[0])) return
      waiting.shift()
      unanswered = ''
      child.stdin.write(next[1])
    })
    const [code] = (await once(child, 'close')) as [number | null]
    return { exitCode: code ?? -1, output, messages: '' }
  }

  test('init asks twice without showing anything; points needs no passphrase, and a lost keyring asks once', async (t) => {
    const place = await makePlace()
    await using _ = place.directory
    const made = await onTerminal(
      place,
      t.signal,
      ['init'],
      [
        ['Passphrase for the new tenant: ', 'secret words\r'],
        ['Once more: ', 'other words\r'],
        ['Passphrase for the new tenant: ', 'secret words\r'],
        ['Once more: ', 'secret words\r'],
      ],
    )
    assert.equal(made.exitCode, 0, made.output)
    assert.ok(!made.output.includes('words'))
    const listed = await onTerminal(place, t.signal, ['points'], [])
    assert.equal(listed.exitCode, 0, listed.output)
    await rm(place.directory.file('state/keyring.json'))
    const wrong = await onTerminal(place, t.signal, ['points'], [['Passphrase: ', 'wrong\r']])
    assert.equal(wrong.exitCode, 1)
    assert.match(wrong.output, /E_KEY_WRONG/)
    const right = await onTerminal(place, t.signal, ['points'], [['Passphrase: ', 'secret words\r']])
    assert.equal(right.exitCode, 0, right.output)
  })

  test('Ctrl-C at the question ends with 130, and nothing was made', async (t) => {
    const place = await makePlace()
    await using _ = place.directory
    const { exitCode, output } = await onTerminal(
      place,
      t.signal,
      ['init'],
      [['Passphrase for the new tenant: ', 'sec\u0003']],
    )
    assert.equal(exitCode, 130, output)
    await assert.rejects(stat(place.directory.file('state')), { code: 'ENOENT' })
  })
})
