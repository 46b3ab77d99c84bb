import { readFile, writeFile } from 'node:fs/promises'
import { Place } from '../end-to-end/place.ts'
import { runTool } from '../fixtures/tool.ts'
import { Fleet } from '../service/fleet.ts'

/** As many as any plan has. */
const machineNames = ['web1', 'web2', 'web3']

/** A repository with endpoints that have enrolled, made once; each scenario begins with a copy of it. */
export async function makeTemplate(): Promise<Place> {
  const place = await Place.empty()
  await place.answers('init')
  const fleet = new Fleet(place)
  const server = await fleet.serve()
  for (const name of machineNames) await fleet.machine(name, server)
  await fleet.stop()
  await place.untilNoProcess()
  return place
}

/** @param serviceUrl where the machines find their service here */
export async function copyTemplate(template: Place, place: Place, serviceUrl: string): Promise<void> {
  const names = ['store', 'state', 'key', ...machineNames.map((name) => `machine-${name}`)]
  await runTool('cp', ['-a', ...names.map((name) => template.file(name)), place.directory.path])
  for (const name of machineNames) {
    const path = place.file(`machine-${name}/identity.json`)
    const identity = JSON.parse(await readFile(path, 'utf8')) as Record<string, unknown>
    await writeFile(path, JSON.stringify({ ...identity, serviceUrl }))
  }
}
