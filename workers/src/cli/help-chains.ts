import { environmentHelp, exitCodeHelp } from './help.ts'

export const synthHelp = `
Makes a full of the set's newest point out of what is stored, and begins a new
chain with it. The endpoint sends nothing, and the passphrase is not needed:
records are copied as they are, sealed. The next backup builds on the new
full, so that the old chain can go when its points are kept no more.

Most bytes are copied by the store itself. What it cannot copy (on S3 pieces
below 5 MiB) passes through this process; both are reported. A run that was
cut off is gone on with by the same command. When a backup is quicker, what it
has changed is copied as well. Where the newest point is a full already, there
is nothing to do.

Examples:
  strata synth --set web-1
  strata synth --set web-1 --json | jq '{point, serverSideBytes, workerBytes}'
${environmentHelp}
${exitCodeHelp}`
