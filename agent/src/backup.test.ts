import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import {
  closeSync,
  existsSync,
  openSync,
  readFileSync,
  renameSync,
  statSync,
  truncateSync,
  utimesSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { suite, test, type TestContext } from 'node:test'
import { StrataError } from '@strata/shared/errors.ts'
import { blockDigest } from '@strata/shared/format/digest.ts'
import { segmentsInFlightMax } from '@strata/shared/limits.ts'
import type { MemoryUplinkSettings } from './testing/memory-uplink.ts'
import { Workbench } from './testing/workbench.ts'
import { diskMark } from './track/digest-file.ts'
import { DigestFileWriter } from './track/digest-file-writer.ts'

const KiB = 1024
const block = 64 * KiB

function workbench(t: TestContext, settings: Omit<MemoryUplinkSettings, 'spoolDirectory'> = {}): Workbench {
  const bench = new Workbench(settings)
  t.after(() => {
    bench.remove()
  })
  return bench
}

function patch(path: string, offset: number, bytes: Buffer): void {
  const fd = openSync(path, 'r+')
  writeSync(fd, bytes, 0, bytes.length, offset)
  closeSync(fd)
}

function lastImage(bench: Workbench, disk = 0): Buffer {
  const image = bench.uplink.points.at(-1)?.images[disk]
  assert.ok(image !== undefined)
  return image
}

function assertSame(actual: Buffer, expected: Buffer): void {
  assert.equal(actual.length, expected.length)
  assert.ok(actual.equals(expected), 'the disk is the same to the byte')
}

const withCode = (code: string) => (error: unknown) => error instanceof StrataError && error.code === code

suite('backupSet', () => {
  test('a full and an incremental with scattered changes', async (t) => {
    const bench = workbench(t)
    const image = randomBytes(130 * block + 1000)
    writeFileSync(bench.path('d.img'), image)
    const full = await bench.backup('d.img')
    assert.equal(full.kind, 'full')
    assert.equal(full.changedBytes, image.length)
    assert.equal(full.scannedBytes, image.length)
    assert.equal(full.consistency, 'unchanged')
    assert.equal(full.passes, 1)
    assert.equal(full.disks[0]?.digestsFrom, 'nowhere')
    assertSame(lastImage(bench), image)

    for (const at of [0, 5, 6, 70, 129]) {
      const change = randomBytes(100)
      change.copy(image, at * block + 17)
      patch(bench.path('d.img'), at * block + 17, change)
    }
    const incremental = await bench.backup('d.img')
    assert.equal(incremental.kind, 'incremental')
    assert.equal(incremental.disks[0]?.digestsFrom, 'file')
    assert.equal(incremental.changedBytes, 5 * block)
    assertSame(lastImage(bench), image)
    assert.equal(bench.uplink.pagesAsked, 0)

    const unchanged = await bench.backup('d.img')
    assert.equal(unchanged.changedBytes, 0)
    assert.equal(unchanged.segments, 0)
    assert.equal(unchanged.bytesRead, image.length)
    assert.deepEqual(bench.leftOvers(), [])
  })

  test('a differential reads the digests of the full from the map and keeps its own', async (t) => {
    const bench = workbench(t)
    const image = randomBytes(9 * block)
    writeFileSync(bench.path('d.img'), image)
    await bench.backup('d.img')
    patch(bench.path('d.img'), 2 * block, Buffer.from('one'))
    await bench.backup('d.img')
    patch(bench.path('d.img'), 4 * block, Buffer.from('two'))
    const differential = await bench.backup('d.img', { kind: 'differential' })
    assert.equal(differential.disks[0]?.digestsFrom, 'map')
    assert.equal(differential.changedBytes, 2 * block)
    assertSame(lastImage(bench), readFileSync(bench.path('d.img')))
    const incremental = await bench.backup('d.img')
    assert.equal(incremental.disks[0]?.digestsFrom, 'file')
    assert.equal(incremental.changedBytes, 0)
  })

  test('blocks that become zeros travel as a note, whether they are holes or written', async (t) => {
    const bench = workbench(t)
    writeFileSync(bench.path('d.img'), randomBytes(20 * block))
    await bench.backup('d.img')
    // The end becomes a hole, the second block is zeroed by writing.
    truncateSync(bench.path('d.img'), 15 * block)
    truncateSync(bench.path('d.img'), 20 * block)
    patch(bench.path('d.img'), block, Buffer.alloc(block))
    const outcome = await bench.backup('d.img')
    assert.equal(outcome.changedBytes, 0)
    assert.equal(outcome.zeroedBytes, 6 * block)
    assertSame(lastImage(bench), readFileSync(bench.path('d.img')))
    const again = await bench.backup('d.img')
    assert.equal(again.segments, 0)
  })

  test('holes are not read, and zeros need no entries', async (t) => {
    const bench = workbench(t)
    writeFileSync(bench.path('d.img'), '')
    truncateSync(bench.path('d.img'), 5000 * block + 5)
    patch(bench.path('d.img'), 3000 * block + 7, Buffer.from('data'))
    patch(bench.path('d.img'), 100 * block, Buffer.alloc(3 * block))
    const outcome = await bench.backup('d.img')
    assert.equal(outcome.changedBytes, block)
    assert.equal(outcome.zeroedBytes, 0)
    assert.ok(outcome.bytesRead <= 5 * block, `${String(outcome.bytesRead)} bytes were read`)
    assert.equal(bench.uplink.segments.flatMap((segment) => segment.entries).length, 1)
    assertSame(lastImage(bench), readFileSync(bench.path('d.img')))
    const again = await bench.backup('d.img')
    assert.equal(again.segments, 0)
  })

  test('a disk that grew continues its chain; its last block is sent again when it was cut off', async (t) => {
    const bench = workbench(t)
    writeFileSync(bench.path('d.img'), randomBytes(10 * block + 100))
    await bench.backup('d.img')
    truncateSync(bench.path('d.img'), 12 * block)
    patch(bench.path('d.img'), 11 * block, randomBytes(block))
    const outcome = await bench.backup('d.img')
    assert.equal(outcome.disks[0]?.digestsFrom, 'file')
    assert.equal(outcome.changedBytes, 2 * block)
    assertSame(lastImage(bench), readFileSync(bench.path('d.img')))
  })

  test('several disks become one point, each with its own digests', async (t) => {
    const bench = workbench(t, { segmentBytesMax: 3 * block })
    const sources = ['a', 'b', 'c'].map((name) => ({ name, path: bench.path(`${name}.img`) }))
    for (const [index, { path }] of sources.entries()) writeFileSync(path, randomBytes((7 + index) * block + index))
    const outcome = await bench.backup('', { sources })
    assert.equal(outcome.disks.length, 3)
    assert.equal(outcome.sizeBytes, 24 * block + 3)
    patch(bench.path('b.img'), 0, Buffer.from('changed'))
    const next = await bench.backup('', { sources })
    assert.deepEqual(
      next.disks.map((disk) => disk.changedBytes),
      [0, block, 0],
    )
    for (const [index, { path }] of sources.entries()) assertSame(lastImage(bench, index), readFileSync(path))
  })

  test('the content root does not depend on the number of threads', async (t) => {
    const bench = workbench(t)
    writeFileSync(bench.path('d.img'), randomBytes(190 * block))
    const roots = []
    for (const scanThreads of [1, 2, 4]) {
      await bench.backup('d.img', { scanThreads, kind: 'full' })
      roots.push(Buffer.from(bench.uplink.points.at(-1)?.end.contentRoots[0] ?? []).toString('hex'))
    }
    assert.equal(new Set(roots).size, 1)
  })

  test('bad names of disks are refused before anything is opened', async (t) => {
    const bench = workbench(t)
    writeFileSync(bench.path('d.img'), randomBytes(block))
    for (const names of [['a', 'a'], ['a', 'A'], ['..'], [''], ['a/b'], ['-a'], ['é'], ['a'.repeat(201)]]) {
      const sources = names.map((name) => ({ name, path: bench.path('d.img') }))
      await assert.rejects(bench.backup('', { sources }), withCode('E_DISK_NAME'), names.join())
    }
    assert.equal(bench.uplink.points.length, 0)
  })

  test('a state directory that cannot be written is said before the session is opened', async (t) => {
    const bench = workbench(t)
    writeFileSync(bench.path('d.img'), randomBytes(block))
    await assert.rejects(bench.backup('d.img', { stateDirectory: bench.path('d.img') }), withCode('E_STATE_UNWRITABLE'))
  })

  test('progress ends with the whole disk', async (t) => {
    const bench = workbench(t)
    writeFileSync(bench.path('d.img'), randomBytes(40 * block))
    const phases: string[] = []
    let done = 0
    await bench.backup('d.img', {
      onProgress: (progress) => {
        if (phases.at(-1) !== progress.phase) phases.push(progress.phase)
        if (progress.phase === 'scan') done = progress.bytesDone / progress.bytesTotal
      },
    })
    assert.deepEqual(phases, ['open', 'scan', 'commit'])
    assert.equal(done, 1)
  })
})

suite('the local digest file', () => {
  async function changedAfter(
    t: TestContext,
    spoil: (bench: Workbench) => void,
  ): Promise<[Workbench, Awaited<ReturnType<Workbench['backup']>>]> {
    const bench = workbench(t)
    writeFileSync(bench.path('d.img'), randomBytes(66 * block))
    await bench.backup('d.img', { blockBytes: 65536 })
    patch(bench.path('d.img'), 3 * block, Buffer.from('changed'))
    spoil(bench)
    const outcome = await bench.backup('d.img')
    assert.equal(outcome.changedBytes, block)
    assertSame(lastImage(bench), readFileSync(bench.path('d.img')))
    const next = await bench.backup('d.img')
    assert.equal(next.disks[0]?.digestsFrom, 'file')
    return [bench, outcome]
  }

  test('lost: the digests come from the map', async (t) => {
    const [bench, outcome] = await changedAfter(t, (lost) => {
      renameSync(lost.digestFile(), lost.path('elsewhere'))
    })
    assert.equal(outcome.disks[0]?.digestsFrom, 'map')
    assert.ok(bench.uplink.pagesAsked > 0)
  })

  test('of another point: not trusted', async (t) => {
    const bench = workbench(t)
    writeFileSync(bench.path('d.img'), randomBytes(9 * block))
    await bench.backup('d.img')
    const old = readFileSync(bench.digestFile())
    patch(bench.path('d.img'), 0, Buffer.from('changed'))
    await bench.backup('d.img')
    writeFileSync(bench.digestFile(), old)
    const outcome = await bench.backup('d.img')
    assert.equal(outcome.disks[0]?.digestsFrom, 'map')
    assert.equal(outcome.changedBytes, 0)
  })

  test('of another disk of the same point: not trusted', async (t) => {
    const bench = workbench(t)
    const sources = ['a', 'b'].map((name) => ({ name, path: bench.path(`${name}.img`) }))
    for (const { path } of sources) writeFileSync(path, randomBytes(9 * block))
    await bench.backup('', { sources })
    writeFileSync(bench.digestFile('a'), readFileSync(bench.digestFile('b')))
    const outcome = await bench.backup('', { sources })
    assert.deepEqual(
      outcome.disks.map((disk) => disk.digestsFrom),
      ['map', 'file'],
    )
    assert.equal(outcome.changedBytes, 0)
  })

  test('damaged anywhere: noticed, said, and read from the map', async (t) => {
    for (const at of [10, 60, 4096, 4096 + 31 * 64, -1, -20]) {
      const [, outcome] = await changedAfter(t, (bench) => {
        const bytes = readFileSync(bench.digestFile())
        const place = at < 0 ? bytes.length + at : at
        bytes[place] = (bytes[place] ?? 0) ^ 0x40
        writeFileSync(bench.digestFile(), bytes)
      })
      assert.ok(
        outcome.warnings.some((warning) => warning.code === 'W_DIGESTS_LOST'),
        `byte ${String(at)}`,
      )
    }
  })

  test('cut off, emptied or zeroed: noticed', async (t) => {
    const spoilers: ((bytes: Buffer) => Buffer)[] = [
      (bytes) => bytes.subarray(0, bytes.length - 1),
      () => Buffer.alloc(0),
      (bytes) => bytes.fill(0, 4096, bytes.length - 8),
      (bytes) => bytes.fill(0),
    ]
    for (const spoil of spoilers) {
      const [, outcome] = await changedAfter(t, (bench) => {
        writeFileSync(bench.digestFile(), spoil(readFileSync(bench.digestFile())))
      })
      assert.ok(outcome.warnings.some((warning) => warning.code === 'W_DIGESTS_LOST'))
    }
  })

  test('that says something else than the map ends one run, and is removed', async (t) => {
    const bench = workbench(t)
    writeFileSync(bench.path('d.img'), randomBytes(9 * block))
    const { sequence, manifestDigest, chain } = await bench.backup('d.img')
    patch(bench.path('d.img'), 2 * block, Buffer.from('changed'))
    // Whole, of the right point, and wrong: it says that the change was in the base.
    const image = readFileSync(bench.path('d.img'))
    const writer = new DigestFileWriter(`${bench.digestFile()}.wrong`, image.length, block)
    for (let at = 0; at < image.length; at += block)
      writer.push(blockDigest(bench.uplink.blockDigestKey, image.subarray(at, at + block)))
    const head = { blockBytes: block, sizeBytes: image.length, chain, sequence, manifestDigest }
    writer.publish(bench.digestFile(), { ...head, diskMark: diskMark('d', {}) })
    await assert.rejects(bench.backup('d.img'), (error) => {
      assert.ok(error instanceof StrataError && error.code === 'E_CONTENT_ROOT')
      assert.match(error.message, /local digests of the set were removed/)
      return true
    })
    assert.equal(existsSync(bench.digestFile()), false)
    const next = await bench.backup('d.img')
    assert.equal(next.disks[0]?.digestsFrom, 'map')
    assert.equal(next.changedBytes, block)
    assertSame(lastImage(bench), image)
  })

  test('is kept when the map is wrong though no digest file was believed', async (t) => {
    let fail = false
    const bench = workbench(t, {
      onFinish: () => {
        if (fail) throw new StrataError('E_CONTENT_ROOT', 'not the same')
      },
    })
    writeFileSync(bench.path('d.img'), randomBytes(block))
    await bench.backup('d.img')
    fail = true
    await assert.rejects(bench.backup('d.img', { kind: 'full' }), withCode('E_CONTENT_ROOT'))
    assert.equal(existsSync(bench.digestFile()), true)
  })

  test('that cannot be kept costs a warning, not the point', async (t) => {
    const bench: Workbench = workbench(t, {
      onFinish: () => {
        renameSync(bench.state, bench.path('moved'))
      },
    })
    writeFileSync(bench.path('d.img'), randomBytes(block))
    const outcome = await bench.backup('d.img')
    assert.equal(bench.uplink.points.length, 1)
    assert.equal(bench.uplink.abandoned, 0)
    assert.deepEqual(
      outcome.warnings.map((warning) => warning.code),
      ['W_DIGESTS_LOST'],
    )
  })

  test('files of dead runs go after a day, those of a running session stay', async (t) => {
    const bench = workbench(t)
    writeFileSync(bench.path('d.img'), randomBytes(block))
    await bench.backup('d.img')
    const old = `${bench.digestFile()}.dead-1.new`
    const young = `${bench.digestFile()}.alive-1.new`
    for (const path of [old, young]) writeFileSync(path, 'left over')
    const twoDaysAgo = new Date(Date.now() - 2 * 86_400_000)
    utimesSync(old, twoDaysAgo, twoDaysAgo)
    await bench.backup('d.img')
    assert.equal(existsSync(old), false)
    assert.equal(existsSync(young), true)
  })
})

suite('what the machine remembers of a set', () => {
  test('is presented when a session is opened: number and digest of the last point', async (t) => {
    const bench = workbench(t)
    writeFileSync(bench.path('d.img'), randomBytes(3 * block))
    const first = await bench.backup('d.img')
    assert.deepEqual(bench.uplink.presented, [])
    const second = await bench.backup('d.img')
    await bench.backup('d.img', { kind: 'full' })
    assert.deepEqual(
      bench.uplink.presented,
      [first, second].map(({ sequence, manifestDigest }) => [{ sequence, manifestDigest }]),
    )
    assert.deepEqual(second.warnings, [])
  })

  test('is what all digest files say, the newest first; damaged ones say nothing', async (t) => {
    const bench = workbench(t)
    const sources = ['a', 'b'].map((name) => ({ name, path: bench.path(`${name}.img`) }))
    for (const { path } of sources) writeFileSync(path, randomBytes(2 * block))
    await bench.backup('', { sources })
    const old = readFileSync(bench.digestFile('a'))
    await bench.backup('', { sources })
    // As after a crash between the files of the two disks, and with a disk that the set has no more.
    writeFileSync(bench.digestFile('a'), old)
    writeFileSync(bench.digestFile('c'), old.subarray(1))
    await bench.backup('', { sources })
    assert.deepEqual(
      bench.uplink.presented.at(-1)?.map(({ sequence }) => sequence),
      [2, 1],
    )
  })

  test('and the store does not have any more becomes a warning of the run and of its point', async (t) => {
    const bench = workbench(t)
    writeFileSync(bench.path('d.img'), randomBytes(3 * block))
    await bench.backup('d.img')
    await bench.backup('d.img')
    bench.uplink.points.pop()
    const outcome = await bench.backup('d.img')
    assert.deepEqual(
      outcome.warnings.map(({ code }) => code),
      ['W_HISTORY_CUT'],
    )
    assert.deepEqual(bench.uplink.points.at(-1)?.end.warnings, outcome.warnings)
    assert.equal(outcome.sequence, 2)
  })
})

suite('a source that changes while it is read', () => {
  test('is read again, and the point is the later moment', async (t) => {
    const bench: Workbench = workbench(t, {
      segmentBytesMax: 4 * block,
      onSend: (count) => {
        if (count === 3) patch(bench.path('d.img'), 0, Buffer.from('a write during the first pass'))
      },
    })
    writeFileSync(bench.path('d.img'), randomBytes(50 * block))
    const outcome = await bench.backup('d.img')
    assert.equal(outcome.passes, 2)
    assert.equal(outcome.consistency, 'unchanged')
    assertSame(lastImage(bench), readFileSync(bench.path('d.img')))
    assert.deepEqual(bench.leftOvers(), [])
    const next = await bench.backup('d.img')
    assert.equal(next.disks[0]?.digestsFrom, 'file')
    assert.equal(next.changedBytes, 0)
  })

  test('may return to what the base has, or to zeros', async (t) => {
    let during: () => void = () => undefined
    const bench: Workbench = workbench(t, {
      segmentBytesMax: block,
      onSend: () => {
        during()
      },
    })
    const image = randomBytes(12 * block)
    image.fill(0, 8 * block, 9 * block)
    writeFileSync(bench.path('d.img'), image)
    await bench.backup('d.img')
    patch(bench.path('d.img'), 0, randomBytes(2 * block))
    patch(bench.path('d.img'), 8 * block, randomBytes(block))
    during = () => {
      during = () => undefined
      patch(bench.path('d.img'), 0, image)
      patch(bench.path('d.img'), 5 * block, Buffer.alloc(block))
    }
    const outcome = await bench.backup('d.img')
    assert.equal(outcome.passes, 2)
    assertSame(lastImage(bench), readFileSync(bench.path('d.img')))
  })

  test('that never holds still is refused, or marked when the operator wants it so', async (t) => {
    const bench: Workbench = workbench(t, {
      segmentBytesMax: 8 * block,
      onSend: (count) => {
        patch(bench.path('d.img'), (count % 40) * block, randomBytes(10))
      },
    })
    writeFileSync(bench.path('d.img'), randomBytes(50 * block))
    await assert.rejects(bench.backup('d.img'), withCode('E_SOURCE_CHANGED'))
    assert.equal(bench.uplink.points.length, 0)
    assert.equal(bench.uplink.abandoned, 1)
    assert.deepEqual(bench.leftOvers(), [])
    const outcome = await bench.backup('d.img', { allowChanging: true })
    assert.equal(outcome.consistency, 'changing')
    assert.equal(outcome.passes, 3)
    assert.ok(outcome.warnings.some((warning) => warning.code === 'W_SOURCE_CHANGING'))
  })

  test('only the disk that changed is read again', async (t) => {
    const bench: Workbench = workbench(t, {
      segmentBytesMax: 16 * block,
      onSend: (count) => {
        if (count === 3) patch(bench.path('a.img'), 0, Buffer.from('a write'))
      },
    })
    const sources = ['a', 'b'].map((name) => ({ name, path: bench.path(`${name}.img`) }))
    for (const { path } of sources) writeFileSync(path, randomBytes(20 * block))
    const outcome = await bench.backup('', { sources })
    assert.equal(outcome.passes, 2)
    assert.deepEqual(
      outcome.disks.map((disk) => disk.bytesRead / disk.sizeBytes),
      [2, 1],
    )
    for (const [index, { path }] of sources.entries()) assertSame(lastImage(bench, index), readFileSync(path))
  })

  test('that is replaced, grows or shrinks is refused at once', async (t) => {
    const changes: ((path: string) => void)[] = [
      (path) => {
        writeFileSync(`${path}.other`, 'another file')
        renameSync(`${path}.other`, path)
      },
      (path) => {
        truncateSync(path, 51 * block)
      },
      (path) => {
        truncateSync(path, 30 * block)
      },
    ]
    for (const [index, change] of changes.entries()) {
      const bench: Workbench = workbench(t, {
        segmentBytesMax: 2 * block,
        onSend: (count) => {
          if (count === 1) change(bench.path('d.img'))
        },
      })
      writeFileSync(bench.path('d.img'), randomBytes(50 * block))
      const allowChanging = index !== 0
      await assert.rejects(bench.backup('d.img', { allowChanging }), withCode('E_SOURCE_CHANGED'), String(index))
      assert.equal(bench.uplink.points.length, 0)
      assert.deepEqual(bench.leftOvers(), [])
    }
  })
})

suite('sending', () => {
  test('a lost segment is sent again, within limits', async (t) => {
    const bench = workbench(t, {
      segmentBytesMax: 2 * block,
      onSend: (count) => {
        if (count % 3 === 0) throw new StrataError('E_HANDOVER_LOST', 'it vanished')
      },
    })
    writeFileSync(bench.path('d.img'), randomBytes(20 * block))
    await bench.backup('d.img')
    assertSame(lastImage(bench), readFileSync(bench.path('d.img')))
    assert.ok(bench.uplink.sends > 10)

    const hopeless = workbench(t, {
      onSend: () => {
        throw new StrataError('E_HANDOVER_LOST', 'it vanished')
      },
    })
    writeFileSync(hopeless.path('d.img'), randomBytes(block))
    await assert.rejects(hopeless.backup('d.img'), (error) => {
      assert.ok(error instanceof StrataError && error.code === 'E_HANDOVER_LOST')
      assert.match(error.message, /it vanished; segment 0 was handed over 8 times/)
      assert.match(error.hint, /hand-over directory.*run it again/)
      return true
    })
    assert.equal(hopeless.uplink.sends, 8)
    assert.deepEqual(hopeless.leftOvers(), [])
  })

  test('the first permanent failure ends the run and leaves nothing', async (t) => {
    const bench = workbench(t, {
      segmentBytesMax: 2 * block,
      onSend: (count) => {
        if (count === 4) throw new StrataError('E_STORE_FULL', 'no space')
      },
    })
    writeFileSync(bench.path('d.img'), randomBytes(60 * block))
    await assert.rejects(bench.backup('d.img'), withCode('E_STORE_FULL'))
    assert.equal(bench.uplink.abandoned, 1)
    assert.equal(bench.uplink.points.length, 0)
    assert.deepEqual(bench.leftOvers(), [])
    assert.equal(existsSync(bench.digestFile()), false)
  })

  test('a failed commit leaves the old digest file in its place', async (t) => {
    let fail = false
    const bench = workbench(t, {
      onFinish: () => {
        if (fail) throw new StrataError('E_SEGMENTS_MISSING', 'not all are there')
      },
    })
    writeFileSync(bench.path('d.img'), randomBytes(6 * block))
    await bench.backup('d.img')
    const before = createHash('sha256').update(readFileSync(bench.digestFile())).digest('hex')
    patch(bench.path('d.img'), 0, Buffer.from('changed'))
    fail = true
    await assert.rejects(bench.backup('d.img'), withCode('E_SEGMENTS_MISSING'))
    assert.equal(createHash('sha256').update(readFileSync(bench.digestFile())).digest('hex'), before)
    assert.deepEqual(bench.leftOvers(), [])
    fail = false
    const outcome = await bench.backup('d.img')
    assert.equal(outcome.disks[0]?.digestsFrom, 'file')
    assert.equal(outcome.changedBytes, block)
  })

  test('segments in flight are bounded however slow the service is', async (t) => {
    const segments = 30
    const waiting: (() => void)[] = []
    let spooled = 0
    const bench: Workbench = workbench(t, {
      segmentBytesMax: block,
      onSend: async (count) => {
        spooled = Math.max(spooled, bench.leftOvers().filter((name) => name.endsWith('.segment')).length)
        await new Promise<void>((resolve) => {
          waiting.push(resolve)
          // Nothing is let go before every place is taken: a queue that sent one at a time would stand still here.
          if (waiting.length === segmentsInFlightMax) waiting.shift()?.()
          if (count === segments) for (const letGo of waiting) letGo()
        })
      },
    })
    writeFileSync(bench.path('d.img'), randomBytes(segments * block))
    const outcome = await bench.backup('d.img')
    assert.equal(outcome.segments, segments)
    assert.equal(outcome.segmentsInFlightPeak, segmentsInFlightMax)
    assert.equal(spooled, segmentsInFlightMax)
    assert.equal(bench.uplink.sendingPeak, segmentsInFlightMax)
    assertSame(lastImage(bench), readFileSync(bench.path('d.img')))
  })

  test('an interrupted run leaves nothing, even while a segment is on its way', async (t) => {
    const interrupt = new AbortController()
    const bench = workbench(t, {
      segmentBytesMax: 2 * block,
      onSend: async (count) => {
        if (count !== 3) return
        interrupt.abort()
        await new Promise(() => undefined)
      },
    })
    writeFileSync(bench.path('d.img'), randomBytes(60 * block))
    await assert.rejects(bench.backup('d.img', { signal: interrupt.signal }), withCode('E_INTERRUPTED'))
    assert.equal(bench.uplink.abandoned, 1)
    assert.equal(bench.uplink.points.length, 0)
    assert.deepEqual(bench.leftOvers(), [])
    await assert.rejects(bench.backup('d.img', { signal: interrupt.signal }), withCode('E_INTERRUPTED'))
  })

  test('a spool directory without room is named', async (t) => {
    const bench = workbench(t)
    writeFileSync(bench.path('d.img'), randomBytes(block))
    renameSync(bench.spool, bench.path('gone'))
    await assert.rejects(bench.backup('d.img'), withCode('E_HANDOVER_SPACE'))
    assert.equal(statSync(bench.path('d.img')).size, block)
    assert.equal(bench.uplink.abandoned, 1)
  })
})
