import { environmentHelp, exitCodeHelp } from './help.ts'

/** --help of the commands for endpoints and their tokens. No line is longer than 80 columns. */
const registryHelp = `
These commands work on the store, with the keyring: no passphrase, and no
service that runs. Gateways notice a change within 30 seconds.`

const idHelp = `
ID is the id that the list shows: its first 6 characters or more.`

export const tokenHelp = `
A machine becomes an endpoint by an enrolment token: one line of text that is
made here, and given to strata agent enroll there. It expires, and it counts
the machines that have used it. What is kept of it cannot be used again.
${registryHelp}

Examples:
  strata token create --note "laptop of Ann"
  strata token list
${environmentHelp}
${exitCodeHelp}`

export const tokenCreateHelp = `
The token is the only line on standard output, and is shown this once: give it
to whoever sets up the machine as you would give a password. It is good until
it expires or is used up, whichever comes first, and for new endpoints only.

With --endpoint it is good for that endpoint alone, after its machine was
reinstalled or replaced: the endpoint keeps its id, its name and its sets, gets
the machine's new key, and the old key is refused.
${registryHelp}

Examples:
  strata token create
  strata token create --expires 7d --uses 40 --note "branch in Graz"
  strata token create --endpoint 3f9a1c0b77de
  token=$(strata token create --quiet)
${environmentHelp}
${exitCodeHelp}`

export const tokenListHelp = `
States:
  open     good for a machine
  used up  used as often as it may be
  expired  too old, by the store's clock
  revoked  by strata token revoke
If one cannot be read the exit code is 1, and the list is complete
nevertheless.
${registryHelp}

Examples:
  strata token list
  strata token list --json | jq -r '.[] | select(.state == "open").id'
${environmentHelp}
${exitCodeHelp}`

export const tokenRevokeHelp = `${idHelp}

Nobody can become an endpoint by it any more. Machines that did stay endpoints:
strata endpoint revoke is for those.
${registryHelp}

Examples:
  strata token revoke 5c11cfd7dd8f
${environmentHelp}
${exitCodeHelp}`

export const endpointHelp = `
An endpoint is a machine with an agent. It has a key pair, made on the machine,
and may make backups of its own sets: those called NAME or NAME@…, where NAME
is its name.
${registryHelp}

Examples:
  strata endpoint list
  strata endpoint revoke 3f9a1c0b77de --note "stolen"
${environmentHelp}
${exitCodeHelp}`

export const endpointListHelp = `
States:
  active     its requests are taken
  revoked    its requests are refused; machine and name may be enrolled anew
  enrolling  its enrolment has begun and was not finished yet; it can be, and
             until then it may do nothing and is in nobody's way
If one cannot be read the exit code is 1, and the list is complete
nevertheless.
${registryHelp}

Examples:
  strata endpoint list
  strata endpoint list --json | jq -r '.[] | select(.state == "active").name'
${environmentHelp}
${exitCodeHelp}`

export const endpointShowHelp = `${idHelp}
${registryHelp}

Examples:
  strata endpoint show 3f9a1c0b77de
${environmentHelp}
${exitCodeHelp}`

export const endpointRevokeHelp = `${idHelp}

All its requests are refused from now on, those of a backup that runs as well.
Its points stay. There is no way back: to let the machine in again enrol it
with a new token, as a new endpoint, which may have the same name.
${registryHelp}

Examples:
  strata endpoint revoke 3f9a1c0b77de
  strata endpoint revoke 3f9a1c0b77de --note "stolen"
${environmentHelp}
${exitCodeHelp}`

export const policyHelp = `
A policy says when endpoints back up by themselves, and which points are kept
for how long. It is a JSON or YAML file that is applied to the tenant; each
becomes a numbered version that never changes, and the highest one holds.
docs/policies.md has its members.
${registryHelp}

Examples:
  strata policy apply policy.yaml
  strata policy show
  strata policy explain 3f9a1c0b77de4d219d5a7a4f5b1f8e02
  strata policy explain --set web-1
${environmentHelp}
${exitCodeHelp}`

export const policyApplyHelp = `
A file such as

  schedule: { cron: "0 2 * * *", timeZone: Europe/Vienna, jitter: 30m }
  hours:                       # runs begin only then; what runs goes on
    - { from: "20:00", to: "06:00" }
    - { days: sat-sun, from: "06:00", to: "20:00" }
  retention:                   # the newest point is kept whatever this says
    last: 3
    daily: 14
    weekly: 8
    monthly: 12

makes every endpoint of the tenant that runs with --loop back up at 2 in the
morning, each a little later than the hour, and keeps the last point of each
of the last 14 days, 8 weeks and 12 months that have one.

What is wrong with it is said with its place, and then nothing changes. That
is so for what contradicts itself as well: a policy that keeps nothing, a lock
(immutability) that ends before retention does, a copy into its own store.
${registryHelp}

Examples:
  strata policy apply policy.yaml
  strata policy apply policy.json
${environmentHelp}
${exitCodeHelp}`

export const policyShowHelp = `
What the policy means, with what holds where it says nothing; and the policy
as it was written.
${registryHelp}

Examples:
  strata policy show
  strata policy show --json | jq .understood.retention
${environmentHelp}
${exitCodeHelp}`

export const policyExplainHelp = `
Of an endpoint (strata endpoint list has its id): its next runs, in the time
zone of the schedule and in UTC.

Of a set: for every point why it is kept or goes, and when. A point goes when
its last reason ends. When that is follows from the schedule, if each run makes
a point and nothing else changes; "no end" is what is held. Nothing is changed
by this, and what goes is deleted by strata prune only, after the undo window.
If a point cannot be read it is kept, the exit code is 1, and the list is
complete nevertheless.
${registryHelp}

Examples:
  strata policy explain 3f9a1c0b77de4d219d5a7a4f5b1f8e02
  strata policy explain --set web-1
  strata policy explain --set web-1 --json |
    jq -r '.points[] | select(.keep | not).point'
${environmentHelp}
${exitCodeHelp}`
