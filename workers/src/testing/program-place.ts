import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { pathToFileURL } from 'node:url'
import { systemClock, systemRandomBytes } from '@strata/shared/clock.ts'
import { runProgram } from '../cli/program.ts'

export interface Run {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

/** A directory with room for a store and a keyring, and the program that works there. */
export interface Place {
  readonly directory: string
  readonly keyring: string
  readonly keysDirectory: () => Promise<string>
  readonly run: (args: readonly string[], env?: Readonly<Record<string, string>>) => Promise<Run>
}

export async function makePlace(t: TestContext): Promise<Place> {
  const directory = await mkdtemp(join(tmpdir(), 'strata-cli-'))
  t.after(() => rm(directory, { recursive: true }))
  const store = pathToFileURL(join(directory, 'store')).href
  return {
    directory,
    keyring: join(directory, 'state', 'keyring.json'),
    keysDirectory: async () => {
      const [tenant = ''] = await readdir(join(directory, 'store', 'tenants'))
      return join(directory, 'store', 'tenants', tenant, 'keys')
    },
    run: async (args, env = {}) => {
      let stdout = ''
      let stderr = ''
      const code = await runProgram(args, {
        stdout: { write: (text) => (stdout += text), columns: 80 },
        stderr: { write: (text) => (stderr += text) },
        env: { STRATA_STORE: store, STRATA_STATE: join(directory, 'state'), ...env },
        clock: systemClock,
        random: systemRandomBytes,
        workingDirectory: directory,
        hostName: 'host-1',
        signal: new AbortController().signal,
        terminal: undefined,
      })
      return { code, stdout, stderr }
    },
  }
}

export function answer(run: Run): Record<string, unknown> {
  return JSON.parse(run.stdout) as Record<string, unknown>
}

export function errorCode(run: Run): unknown {
  return (answer(run)['error'] as { code: unknown }).code
}
