import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { allRoles, parseRoles } from '@strata/workers/roles.ts'
import { projectRoot } from '../fixtures/real-files.ts'

/** `compose.yaml` cannot be run here; what can be said of it without Docker. */

test('the processes of compose.yaml have roles that there are, and together all of them', async () => {
  const text = await readFile(join(projectRoot, 'compose.yaml'), 'utf8')
  const lists = [...text.matchAll(/--roles (?:\$\{\w+:-)?([a-z,]+)/g)].map(([, list = '']) => parseRoles(list))
  assert.ok(lists.length > 1)
  assert.deepEqual(new Set(lists.flatMap((roles) => [...roles])), allRoles)
  // A gateway without a staging area, which is what there is without further settings, hands over in its own process.
  assert.ok(lists.some((roles) => roles.has('gateway') && roles.has('ingest')))
})

test('its Redis loses no jobs, as the service demands', async () => {
  const text = await readFile(join(projectRoot, 'Dockerfile'), 'utf8')
  assert.match(text, /"--appendonly", "yes", "--maxmemory-policy", "noeviction"/)
})
