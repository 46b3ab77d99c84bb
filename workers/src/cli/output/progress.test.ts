import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Clock } from '@strata/shared/clock.ts'
import { progressLineIntervalMs, progressRedrawIntervalMs } from '@strata/shared/limits.ts'
import { displayWidth, printable } from './printable.ts'
import { barLine, plainLine, startProgress, type ProgressTarget } from './progress.ts'

const MiB = 1024 ** 2

class SteeredClock implements Clock {
  #ms = 0
  nowMs(): number {
    return this.#ms
  }
  monotonicMs(): number {
    return this.#ms
  }
  sleep(): Promise<void> {
    return Promise.reject(new Error('nothing here sleeps'))
  }
  pass(ms: number): void {
    this.#ms += ms
  }
}

function recorded(columns: number | undefined): { readonly events: string[]; readonly target: ProgressTarget } {
  const events: string[] = []
  const target: ProgressTarget = {
    draw: (line) => events.push(`draw ${line}`),
    line: (text) => events.push(`line ${text}`),
    clear: () => events.push('clear'),
    columns: () => columns,
  }
  return { events, target }
}

test('a bar is redrawn no more often than its interval, and goes at the end', () => {
  const clock = new SteeredClock()
  const { events, target } = recorded(80)
  const progress = startProgress('restore', target, clock)
  for (let done = 0; done < 10; done += 1) {
    progress.update({ doneBytes: done * MiB, totalBytes: 10 * MiB })
    clock.pass(progressRedrawIntervalMs / 4)
  }
  progress.end()
  progress.update({ doneBytes: 10 * MiB, totalBytes: 10 * MiB })
  progress.end()
  assert.deepEqual(
    events.map((event) => event.split(' ', 1)[0]),
    ['draw', 'draw', 'draw', 'clear'],
  )
})

test('without a terminal there is a plain line once in an interval', () => {
  const clock = new SteeredClock()
  const { events, target } = recorded(undefined)
  const progress = startProgress('backup vda', target, clock)
  for (let second = 0; second <= 12; second += 1) {
    progress.update({ doneBytes: second * 10 * MiB, totalBytes: 1000 * MiB })
    clock.pass(1000)
  }
  progress.end()
  assert.equal(progressLineIntervalMs, 5000)
  assert.deepEqual(events, [
    'line backup vda: 5 % (50.0 MiB of 1000 MiB), 10.5 MB/s, 1:35 min left',
    'line backup vda: 10 % (100 MiB of 1000 MiB), 10.5 MB/s, 1:30 min left',
    'clear',
  ])
})

test('the bar fits every width, leaves the last column free, and drops the least important first', () => {
  const state = { doneBytes: 300 * MiB, totalBytes: 1000 * MiB, detail: '12 MiB changed' }
  for (let columns = 2; columns <= 200; columns += 1) {
    assert.ok(displayWidth(barLine('backup', state, 50 * MiB, columns)) < columns)
  }
  assert.equal(barLine('backup', state, 50 * MiB, 16), 'backup   30 %')
  assert.equal(barLine('backup', state, 50 * MiB, 46), `backup  ${bar(9, 30)}   30 %`)
  assert.equal(barLine('backup', state, 50 * MiB, 47), `backup  ${bar(3, 10)}   30 %  300 MiB of 1000 MiB`)
  const facts = '300 MiB of 1000 MiB  52.4 MB/s  14.0 s left  12 MiB changed'
  assert.equal(barLine('backup', state, 50 * MiB, 200), `backup  ${bar(12, 40)}   30 %  ${facts}`)
})

function bar(filled: number, columns: number): string {
  return '█'.repeat(filled) + '░'.repeat(columns - filled)
}

test('where the total is not known there is no bar', () => {
  const line = barLine('verify', { doneBytes: 5 * MiB, totalBytes: 0, detail: '1 of 3 points done' }, 0, 80)
  assert.equal(line, 'verify  5.0 MiB  1 of 3 points done')
})

test('names from elsewhere cannot steer the terminal', () => {
  const state = { doneBytes: 1, totalBytes: 2, detail: '\u001b[2J' }
  assert.equal(printable(barLine('disk\u001b[31m', state, 0, 120)), barLine('disk\u001b[31m', state, 0, 120))
  assert.equal(plainLine('disk\n', state, 0), 'disk\\n: 50 % (1 B of 2 B), \\x1b[2J')
})
