import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { ThreadPool, type ThreadPoolOptions } from './pool.ts'

/** A pool of slow threads, and the file that one leaves when it has loaded. */
async function slowPool(
  t: TestContext,
  options: Pick<ThreadPoolOptions, 'threadsAtOnce'>,
): Promise<{ pool: ThreadPool<number, number>; loadedPath: string }> {
  const directory = await mkdtemp(join(tmpdir(), 'strata-threads-'))
  t.after(() => rm(directory, { recursive: true }))
  const loadedPath = join(directory, 'loaded')
  process.env['STRATA_TEST_LOADED'] = loadedPath
  const module = new URL('../testing/slow-thread.ts', import.meta.url)
  return { pool: new ThreadPool({ module, threadsMax: 1, waitsInPlace: false, ...options }), loadedPath }
}

test('threads do tasks, and end with their pool', async (t) => {
  const { pool } = await slowPool(t, { threadsAtOnce: 0 })
  assert.deepEqual(await Promise.all([1, 2, 3].map((number) => pool.run(number))), [2, 4, 6])
  await pool.close({ letEnd: true })
})

test('a thread that has just started is not ended while it loads', async (t) => {
  const { pool, loadedPath } = await slowPool(t, { threadsAtOnce: 1 })
  await pool.close()
  assert.ok(existsSync(loadedPath))
})

test('nor is one that started with its first task', async (t) => {
  const { pool, loadedPath } = await slowPool(t, { threadsAtOnce: 0 })
  const ended = pool.run(1).catch((error: unknown) => error)
  await pool.close()
  assert.ok(existsSync(loadedPath))
  await ended
})

test('threads that nobody needed were never started', async (t) => {
  const { pool, loadedPath } = await slowPool(t, { threadsAtOnce: 0 })
  await pool.close()
  assert.ok(!existsSync(loadedPath))
})
