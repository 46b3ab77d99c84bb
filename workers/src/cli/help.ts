/** The parts of --help that several commands share, and their examples. No line is longer than 80 columns. */
export const environmentHelp = `
Environment:
  STRATA_STORE         the store, where --store is not given
  STRATA_STATE         directory for the state of this machine
                       (else $XDG_STATE_HOME/strata or ~/.local/state/strata)
  STRATA_KEYRING       the keyring (else keyring.json in the state directory)
  STRATA_PASSPHRASE    the tenant's passphrase; without it a terminal is asked
  STRATA_KEY_FILE      the tenant's key file, where --key-file is not given
  STRATA_RECOVERY_KEY  the four lines of a recovery sheet
  STRATA_REDIS_URL     a Redis for backups; without it each backup starts a
                       redis-server of its own, and stops it again
  STRATA_HANDOVER_DIR  memory between agent and workers (else in /dev/shm)
  STRATA_BANDWIDTH_LIMIT
                       bytes a second to and from the store, each way and on
                       average, where --bandwidth-limit is not given: a number,
                       or one with K, M or G for KiB, MiB or GiB
  STRATA_PRICES        prices to reckon by, a JSON file (else list prices)
  NO_COLOR             no colours
  S3 and Azure take credentials from their usual variables (AWS_…, AZURE_…).`

export const exitCodeHelp = `
Exit codes:
  0    done, all of it
  1    an error: its code, what happened and what to do are on standard error
       (with --json also on standard output)
  2    the command line is not right
  3    verify found damage, restore --allow-damaged left something out, or
       lock check found something that is not locked
  130  interrupted by Ctrl-C (once more ends at once); SIGTERM 143, SIGHUP 129`

const pointHelp = `
POINT is the id that strata points shows (its first 6 characters or more), or
latest:SET.`

export const programHelp = `
Stores:
  file:///directory
  s3://bucket/prefix?endpoint=https://host&region=eu-central-1&pathStyle=true
  azure://container/prefix
${environmentHelp}
${exitCodeHelp}

A first backup and its way back:
  export STRATA_STORE=file:///srv/backup
  strata init
  strata backup /dev/vda --set web-1
  strata points
  strata restore latest:web-1 --to /mnt/web-1.img

strata COMMAND --help tells more of each.`

export const initHelp = `
Makes a repository in the store if there is none, a tenant in it, and the
tenant's keyring on this machine. A directory is made; a bucket or container
must be there. Nothing is ever overwritten, and a run that was cut off is
finished by the same command.

The tenant is opened by a passphrase (STRATA_PASSPHRASE, or asked for on a
terminal), by a key file (made where there is none), or by a key that AWS KMS or
Azure Key Vault keeps (--kms; strata key add --help tells more). With several,
any one of them is enough. Backups need none: they run with the keyring, which
opens no block. Restores do, and there is no other way in.

Examples:
  strata init --store file:///srv/backup
  strata init --tenant "Baker & Sons" --key-file /root/baker.key
  strata init --tenant Cook --kms aws:alias/strata
  strata init --tenant Other --keyring /etc/strata/other.json
      a second tenant in the same repository
${environmentHelp}
${exitCodeHelp}`

export const backupHelp = `
A SOURCE is an image file or a block device: PATH, or NAME=PATH to name the
disk. Without a NAME it is the last part of the path (vda for /dev/vda). What
stands before the first = is a name if it consists of letters, digits, dot,
dash and underscore; a path like a=b.img is given as ./a=b.img. All sources
together are one set and become one point.

The set's name is that of this machine unless --set says otherwise. The first
point of a set is a full; then only blocks that changed are sent and stored.
The disks should not change meanwhile: back up a snapshot. If they do change
they are read again, and if they do not come to rest there is no point, unless
--allow-changing is given.

Examples:
  strata backup /dev/vda
  strata backup system=/dev/vda data=/dev/vdb --set web-1
  strata backup disk.img --set test --full --block-size 1M
  strata backup /dev/vg/root-snapshot --set db-1 --json | jq .storedBytes
${environmentHelp}
${exitCodeHelp}`

export const pointsHelp = `
Reads manifests and no blocks; the keyring is enough. The sizes are those of
the disks, of the blocks that were sent, and of what the point added to the
store. States:
  complete    one moment of the disks
  changing    kept although the disks changed meanwhile (--allow-changing)
  damaged     bytes that it needs are bad in the store (strata verify --rolling)
  unreadable  its manifest is damaged, or of a newer Strata
  gone        retention let it go (only with --all)
A point that retention is letting go has the day from which it may be gone.
Numbers that are missing and manifests that were replaced are reported. If
anything is wrong the exit code is 1, and the list is complete nevertheless.

Examples:
  strata points
  strata points --set web-1 --json | jq -r '.[-1].point'
${environmentHelp}
${exitCodeHelp}`

export const restoreHelp = `${pointHelp} :DISK is needed where a point has several disks.

Every block is checked before it is written. A file becomes sparse, and has
its name only when it is whole. Files that exist, and devices that are mounted
or too small, are refused unless --force is given. Needs a secret that opens
the tenant (passphrase, --key-file, --recovery-key, or AWS KMS or Key Vault);
the store and one of them are enough: a lost keyring is rebuilt.

What lies in an archive class must be thawed first: the refusal says how much
it is, what that costs and how long it takes. --thaw asks for it (standard,
bulk: cheaper and slower, expedited: dearer and faster) and says when to come
back; the same command then restores.

Examples:
  strata restore latest:web-1 --to /mnt/web-1.img
  strata restore 3f9a1c0b77de:data --to /dev/vdb --force
  strata restore latest:web-1 --to rescue.img --allow-damaged --json
  strata restore latest:web-1 --to /mnt/web-1.img --thaw bulk
${environmentHelp}
${exitCodeHelp}`

export const mountHelp = `${pointHelp} :DISK is needed where a point has several disks.

Serves the disk over NBD (network block device) until Ctrl-C. Blocks are fetched
as they are asked for, checked, and kept in memory for a while. Without
--writable or --overlay it is read-only, and nothing is written anywhere.

The export's name is the point's id, and it is the default export as well. It
says which parts are zeros, so copies stay sparse. While it runs no prune takes
the point away. Needs a secret that opens the tenant, as a restore does.

A block that is damaged is an error of the request that wants it, and is told
here; the others can be read.

With --writable clients may write: what they write lies in an overlay beside the
point, which stays as it is, and is thrown away at the end. With --overlay it is
kept in a directory of yours, and the next mount of the same disk with the same
directory goes on with it. An overlay has plain bytes of the disk.

With a socket only this user of this machine gets in. With a port everybody who
reaches it does: it is 127.0.0.1 unless --host says otherwise. With --tls-cert
nobody is served without TLS, and with --tls-client-ca nobody without a
certificate of yours.

Examples:
  strata mount latest:web-1 --socket /run/web-1.sock
  nbdfuse /mnt/web-1/disk.img 'nbd+unix:///?socket=/run/web-1.sock'
  nbdcopy 'nbd+unix:///?socket=/run/web-1.sock' web-1.img
  qemu-img convert -O qcow2 'nbd+unix:///?socket=/run/web-1.sock' web-1.qcow2
  strata mount latest:web-1 --socket /run/web-1.sock --overlay /srv/try
  strata mount 3f9a1c0b77de:data --port 10809 --host 0.0.0.0 \\
    --tls-cert cert.pem --tls-key key.pem
${environmentHelp}
${exitCodeHelp}`

export const overlayHelp = `
strata mount --overlay DIRECTORY keeps what clients write beside the point.
strata overlay commit DIRECTORY makes a new point of that: the disk as it is
with the changes, in the set of the point that was mounted and built on it.
Only blocks that were written to are read and compared. The point says that it
was not read from the machine (W_KEPT_CHANGES). It is the newest of its set
then, and what latest:SET means. The next backup of the machine is built on it,
and brings back what the machine has.

The overlay stays as it is, and must not be mounted meanwhile; remove the
directory when it is no longer wanted.

Examples:
  strata mount latest:web-1 --socket /run/web-1.sock --overlay /srv/try
  strata overlay commit /srv/try
${environmentHelp}
${exitCodeHelp}`

export const verifyHelp = `${pointHelp} With --all every point is verified; what points share is read once.

Reads every block back from the store, opens it and checks its digest. Names
damaged blocks, the objects at fault and the points they hit. Needs a secret
that opens the tenant, as a restore does.

With --rolling it reads what is due, so that everything is read once in the
policy's verification.everyDays (30 without a policy), and compares it with the
hashes that were stored with it. The keyring is enough. Run it daily. The next
backup sends again what is damaged, if the disk still has it.

With --report it tells what was verified from --from to --to, and what was
found, signed with a key of the tenant. --check-report FILE tells whether such
a report is as it was signed, with the key that the store has or --report-key.

Examples:
  strata verify latest:web-1
  strata verify --all --json
  strata verify --rolling || echo "something is damaged, or wrong"
  strata verify --report --from 2026-01-01 --to 2026-02-01 --json > january.json
  strata verify --check-report january.json
${environmentHelp}
${exitCodeHelp}`
