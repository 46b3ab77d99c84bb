import assert from 'node:assert/strict'
import { test } from 'node:test'
import { pageEntriesMax, readWindowPagesMax, zeroTaskBytesMax } from '@strata/shared/limits.ts'
import { recordChange, testSession, writeTestPoint } from '@strata/shared/testing/test-map.ts'
import { makeTestRepository } from '@strata/shared/testing/test-repository.ts'
import { diskWork } from './disk-work.ts'

const blockBytes = 2 ** 20
const nodeBlocks = pageEntriesMax * pageEntriesMax
/** What one window zeroes, and a part of a task on either side of it. */
const tasksPerWindowMax = (readWindowPagesMax * pageEntriesMax * blockBytes) / zeroTaskBytesMax + 2

/** Zeroes a device with what is left of a disk that has records in `blocks` only, and counts. */
async function zeroing(nodes: number, blocks: readonly number[]): Promise<{ windows: number; zeroedBytes: number }> {
  const { repository } = makeTestRepository()
  const sizeBytes = nodes * nodeBlocks * blockBytes
  const changes = blocks.map((block) => recordChange(block, `block ${String(block)}`, testSession(1)))
  const { map } = await writeTestPoint(repository, 1, null, [{ sizeBytes, blockBytes, changes }])
  let windows = 0
  let zeroedBytes = 0
  const work = diskWork({
    map,
    index: 0,
    disk: { name: 'disk', sizeBytes, blockBytes },
    span: { from: 0, to: nodes * nodeBlocks },
    zeroingBytes: sizeBytes,
    onDamage: () => assert.fail('nothing is damaged'),
  })
  for await (const { zeros } of work) {
    windows += 1
    assert.ok(zeros.length <= tasksPerWindowMax, `${String(zeros.length)} tasks at once`)
    for (const ranges of zeros) for (let at = 1; at < ranges.length; at += 2) zeroedBytes += ranges[at] ?? 0
  }
  return { windows, zeroedBytes }
}

test('nodes that are absent are zeroed window by window, however many there are', async () => {
  const { windows, zeroedBytes } = await zeroing(4, [])
  assert.ok(windows >= (4 * pageEntriesMax) / readWindowPagesMax)
  assert.equal(zeroedBytes, 4 * nodeBlocks * blockBytes)
})

test('pages that are absent below a node are zeroed window by window', async () => {
  const { windows, zeroedBytes } = await zeroing(1, [0, nodeBlocks - 1])
  assert.ok(windows >= pageEntriesMax / readWindowPagesMax)
  assert.equal(zeroedBytes, (nodeBlocks - 2) * blockBytes)
})
