import assert from 'node:assert/strict'
import { test } from 'node:test'
import { addStoreTotals, createStoreMetrics } from './metrics.ts'

test('requests and bytes are summed by kind and in all, and passed on', () => {
  const passedOn: string[] = []
  const metrics = createStoreMetrics((request) => passedOn.push(request.kind))
  metrics.onRequest({ kind: 'put', name: 'a', bytesSent: 10, bytesReceived: 0 })
  metrics.onRequest({ kind: 'put', name: 'a', bytesSent: 5, bytesReceived: 0 })
  metrics.onRequest({ kind: 'get', name: 'a', bytesSent: 0, bytesReceived: 7 })
  const totals = metrics.totals()
  metrics.onRequest({ kind: 'list', name: 'a', bytesSent: 0, bytesReceived: 0 })
  assert.deepEqual(totals, {
    requests: 3,
    bytesSent: 15,
    bytesReceived: 7,
    byKind: {
      put: { requests: 2, bytesSent: 15, bytesReceived: 0 },
      copy: { requests: 0, bytesSent: 0, bytesReceived: 0 },
      get: { requests: 1, bytesSent: 0, bytesReceived: 7 },
      head: { requests: 0, bytesSent: 0, bytesReceived: 0 },
      list: { requests: 0, bytesSent: 0, bytesReceived: 0 },
      lock: { requests: 0, bytesSent: 0, bytesReceived: 0 },
      tag: { requests: 0, bytesSent: 0, bytesReceived: 0 },
      delete: { requests: 0, bytesSent: 0, bytesReceived: 0 },
    },
  })
  assert.deepEqual(passedOn, ['put', 'put', 'get', 'list'])
})

test('totals of two processes add up', () => {
  const one = createStoreMetrics()
  const two = createStoreMetrics()
  one.onRequest({ kind: 'get', name: 'a', bytesSent: 0, bytesReceived: 3 })
  two.onRequest({ kind: 'get', name: 'a', bytesSent: 0, bytesReceived: 4 })
  two.onRequest({ kind: 'delete', name: 'a', bytesSent: 0, bytesReceived: 0 })
  const sum = addStoreTotals(one.totals(), two.totals())
  assert.deepEqual([sum.requests, sum.bytesReceived, sum.byKind.get.requests], [3, 7, 2])
})
