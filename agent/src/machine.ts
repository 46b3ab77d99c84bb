import os from 'node:os'
import type { MachineDescription } from '@strata/shared/format/manifest.ts'

const hostNameCharsMax = 255
const architectureCharsMax = 64

/** This machine, as a manifest describes it. */
export function thisMachine(): MachineDescription {
  return {
    hostName: os.hostname().slice(0, hostNameCharsMax),
    system: `${os.type()} ${os.release()}`.slice(0, hostNameCharsMax),
    architecture: os.arch().slice(0, architectureCharsMax),
  }
}
