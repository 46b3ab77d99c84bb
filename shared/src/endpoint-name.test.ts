import assert from 'node:assert/strict'
import { test } from 'node:test'
import { requireEndpointName } from './endpoint-name.ts'
import { endpointNameCharsMax } from './limits.ts'
import { requireSetName } from './set-name.ts'

test('an endpoint is called as a set may be called, in NFC', () => {
  for (const name of ['web1', 'B\u00fcro 2', 'x'.repeat(endpointNameCharsMax)])
    assert.equal(requireEndpointName(name), name)
  assert.equal(requireEndpointName('Bu\u0308ro'), 'B\u00fcro')
})

test('what is no name is refused, and @ parts an endpoint from its sets', () => {
  const wrong = ['', ' web1', 'web1 ', 'a:b', 'a/b', 'a\u0000b', 'a\u202eb', 'x'.repeat(endpointNameCharsMax + 1)]
  for (const name of [...wrong, 'web1@data', '@']) {
    assert.throws(() => requireEndpointName(name), { code: 'E_ENDPOINT_NAME' }, JSON.stringify(name))
  }
  assert.equal(requireSetName('web1@data'), 'web1@data')
})
