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

export const pruneHelp = `
Lets go what the policy keeps no more, in three steps; each run takes every
point one step further.
  marked   it begins to go. Nothing is touched yet: until the undo window of
           the policy has passed (7 days where it says nothing) --undo takes it
           back, and restore, mount and verify still work.
  gone     no reader takes it any more. The newest point, what is held or
           locked, and what somebody reads or builds on is never let go.
  deleted  objects that no point needs any more are tagged, and the lifecycle
           rule of the bucket deletes them (strata lifecycle); in a directory
           the service or the next prune does.
Without a policy nothing is ever let go. --dry-run shows which points would
go, and how many objects and bytes with them; it changes nothing. strata policy
explain --set NAME tells why each point is kept or goes.

Examples:
  strata prune --dry-run
  strata prune --set web-1
  strata prune --undo --set web-1
${environmentHelp}
${exitCodeHelp}`

export const copyHelp = `
Copies what is stored, as it is stored, into a second store: another region,
another cloud, a disk that is carried away. Nothing is decrypted, and the
passphrase is not needed. The copy is the same repository: restore, points and
verify work with --store URL of the copy and the same key, and need nothing of
the source. An endpoint goes on backing up into the source.

With --to every point that is there is copied, and nothing is ever let go in
the copy. Without it all copies of the policy are made, each with a retention
of its own: points that it does not keep are not copied, and those that it
keeps no more go as with strata prune. Run it from a timer, as often as you
can bear to lose points.

Each object is compared with its hashes before it is written. What is damaged
in the source is named and left out, with the points that need it; all else is
copied, and the exit code is 1. A run that was cut off is gone on with by the
same command; what is there is not sent again. Credentials of both stores come
from the environment. A directory is made with --to only.

Examples:
  strata copy --to 's3://offsite/strata?region=eu-west-1'
  strata copy --to file:///media/usb/strata --set web-1 --bandwidth-limit 20M
  strata copy --json | jq '.copies[] | {name, points, bytes, damaged}'
  strata restore latest:web-1 --store file:///media/usb/strata --to web-1.img
${environmentHelp}
${exitCodeHelp}`

export const holdHelp = `
What is held is kept whatever the policy says, until the hold is removed. With
--set all points of a set are held, and those that will be backed up. A point
that is marked to go is marked no more; one that is gone cannot be held. With
--endpoint it is so for each set that the endpoint has by now.

With --lock everything behind a point (its packs, its manifest, the keys) gets a
legal hold in a store that has them: nobody can delete it until remove --lock
takes that away, which leaves what other points need that are held.

Examples:
  strata hold add 3f9a1c0b77de --note 'case 2026-114'
  strata hold add --set web-1 --note 'until the audit is over'
  strata hold list
  strata hold remove --set web-1
${environmentHelp}
${exitCodeHelp}`

export const lockHelp = `
A policy with immutability has each backup lock what it stores: nobody can
delete it before its time is over, with whatever credentials. check walks from
every point that is there to all that it needs (packs, page packs, manifests,
the keys, the repository's document) and asks the store for the lock of each:
one request an object. It names every object that is not locked until the
points that need it are old enough, and those points; then it ends with 3.
Points whose time is over are left out. A store that cannot lock ends it with 1.

Examples:
  strata lock check
  strata lock check --set web-1 --json | jq '{points, objects, unlocked}'
${environmentHelp}
${exitCodeHelp}`

export const catalogHelp = `
The points of a tenant are known from their manifests, one object each. Every
16 and every 256 numbers of a set there is one object more that tells of all
of them, so that thousands of points are listed for few requests. Backups
write it as they go. Without it everything works, and takes longer; rebuild
makes what is missing, also in repositories from before there was any.

Examples:
  strata catalog rebuild
  strata catalog rebuild --json | jq .written
${environmentHelp}
${exitCodeHelp}`

export const costHelp = `
What the store of a tenant has cost in a month: requests and bytes that every
process of Strata has written down, and bytes stored, by class of storage, as
a service notes them once a day and as they are now. Prices are list prices that
come along (see --json for where they are from, and what was not verified), or
those of the JSON file in STRATA_PRICES. Nothing is asked of the provider, so a
bill may differ: what other programs ask of the bucket is not in it, nor taxes.

--forecast plays the coming months under the policy in force, or under that of
FILE, by the same decisions as the service makes. A policy's budget warns
(W_BUDGET) when the month, or one that is foreseen, costs more.

Examples:
  strata cost
  strata cost --month 2026-10 --csv > october.csv
  strata cost --forecast --months 24
  strata cost --forecast stricter.yaml --json | jq .forecast.total
${environmentHelp}
${exitCodeHelp}`
