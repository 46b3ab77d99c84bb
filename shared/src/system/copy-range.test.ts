import assert from 'node:assert/strict'
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { canCopyRanges, copyRange } from './copy-range.ts'
import { beginWriteBack } from './page-cache.ts'

const skip = canCopyRanges ? false : 'this system has no such call'

test('the system copies to where the file stands, up to the end of the other', { skip }, async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'strata-copy-'))
  const path = (name: string): string => join(directory, name)
  writeFileSync(path('from'), '0123456789')
  const from = openSync(path('from'), 'r')
  const to = openSync(path('to'), 'w')
  t.after(() => {
    closeSync(from)
    closeSync(to)
    rmSync(directory, { recursive: true })
  })
  writeSync(to, 'begin ')
  assert.equal(await copyRange(from, 3, to, 4), 4)
  assert.equal(await copyRange(from, 8, to, 100), 2)
  assert.equal(await copyRange(from, 10, to, 100), 0)
  writeSync(to, ' end')
  assert.equal(readFileSync(path('to'), 'utf8'), 'begin 345689 end')
  await beginWriteBack(to, 0, 16)
  assert.equal(readFileSync(path('to'), 'utf8'), 'begin 345689 end')
})

test('what it says when it cannot is passed on', { skip }, async () => {
  const file = openSync(process.execPath, 'r')
  const all = await Promise.allSettled(Array.from({ length: 20 }, () => copyRange(file, 0, -1, 10)))
  closeSync(file)
  for (const one of all) {
    assert.equal(one.status, 'rejected')
    assert.equal((one.reason as { code?: unknown }).code, 'EBADF')
  }
})
