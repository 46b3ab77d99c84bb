import assert from 'node:assert/strict'
import { test } from 'node:test'
import { systemClock, systemRandomBytes } from '../clock.ts'
import { StrataError } from '../errors.ts'
import { probeCreateIfAbsent } from './conditional-probe.ts'
import { MemoryStore } from './memory.ts'

async function names(store: MemoryStore): Promise<string[]> {
  const found: string[] = []
  for await (const info of store.list('')) found.push(info.name)
  return found
}

test('a store that has create-if-absent passes and is left as it was', async () => {
  const store = new MemoryStore({ clock: systemClock })
  await store.put('kept', [])
  await probeCreateIfAbsent(store, systemRandomBytes)
  assert.deepEqual(await names(store), ['kept'])
})

test('a store that ignores ifAbsent is found out', async () => {
  class Ignores extends MemoryStore {
    override async put(name: string, parts: readonly Uint8Array[]): Promise<void> {
      await super.put(name, parts)
    }
  }
  const store = new Ignores({ clock: systemClock })
  await assert.rejects(probeCreateIfAbsent(store, systemRandomBytes), { code: 'E_STORE_UNCONDITIONAL' })
  assert.deepEqual(await names(store), [])
})

test('a store that refuses and writes all the same is found out', async () => {
  class RefusesTooLate extends MemoryStore {
    #puts = 0
    override async put(name: string, parts: readonly Uint8Array[]): Promise<void> {
      this.#puts += 1
      const isSecond = this.#puts === 2
      await super.put(name, parts)
      if (isSecond) throw new StrataError('E_OBJECT_EXISTS', 'it was there')
    }
  }
  const store = new RefusesTooLate({ clock: systemClock })
  await assert.rejects(probeCreateIfAbsent(store, systemRandomBytes), { code: 'E_STORE_UNCONDITIONAL' })
})

test('a store that refuses both is found out', async () => {
  class RefusesAll extends MemoryStore {
    override async put(): Promise<void> {
      await Promise.reject(new StrataError('E_OBJECT_EXISTS', 'no'))
    }
  }
  const store = new RefusesAll({ clock: systemClock })
  await assert.rejects(probeCreateIfAbsent(store, systemRandomBytes), { code: 'E_STORE_UNCONDITIONAL' })
})

test('other errors pass', async () => {
  class Full extends MemoryStore {
    override async put(): Promise<void> {
      await Promise.reject(new StrataError('E_STORE_FULL', 'no space'))
    }
  }
  const store = new Full({ clock: systemClock })
  await assert.rejects(probeCreateIfAbsent(store, systemRandomBytes), { code: 'E_STORE_FULL' })
})
