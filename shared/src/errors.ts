/**
 * Every way in which Strata says no. A code is stable: scripts may rely on it. `docs/errors.md` lists the same
 * codes, and a test compares the two.
 *
 * - `bug`: an invariant of our own does not hold. Crash; nobody can do anything useful with it but report it.
 * - `transient`: the same call may succeed later. Retried where it happens, within named limits.
 * - `permanent`: trying again changes nothing until a person does something; the hint says what.
 */
export type ErrorKind = 'bug' | 'transient' | 'permanent'

interface CatalogueEntry {
  readonly kind: ErrorKind
  /** What to do about it, for the person who reads it; a throw site may give a better one. */
  readonly hint: string
}

const permanent = (hint: string): CatalogueEntry => ({ kind: 'permanent', hint })
const transient = (hint: string): CatalogueEntry => ({ kind: 'transient', hint })
const bug = (hint: string): CatalogueEntry => ({ kind: 'bug', hint })

export const errorCatalogue = {
  E_BUG: bug('This is a defect in Strata. Nothing was published. Please report it with the whole message.'),

  // command line
  E_USAGE: permanent('Run the command with --help to see what it takes.'),
  E_CONFIGURATION: permanent('Correct the named setting and run the command again.'),
  E_INTERRUPTED: permanent('The run was interrupted before it was complete. Run it again.'),

  // sources
  E_SOURCE_MISSING: permanent('Check the path of the source.'),
  E_SOURCE_UNREADABLE: permanent('Run as a user who may read the source, or check the device for read errors.'),
  E_SOURCE_KIND: permanent('Give an image file or a block device.'),
  E_SOURCE_EMPTY: permanent('An empty source cannot be backed up. Check that the path names the disk you mean.'),
  E_SOURCE_TOO_LARGE: permanent('Start a new chain with a larger block size: --full --block-size 1M.'),
  E_SOURCE_CHANGED: permanent(
    'Back up a frozen view (a snapshot, or the machine shut down), or pass --allow-changing to keep a point that is marked as inconsistent.',
  ),
  E_DISK_NAME: permanent('Give each disk a name of its own with NAME=PATH: letters, digits, dot, dash, underscore.'),
  E_SET_NAME: permanent('Give the set another name with --set.'),
  E_DISK_SET_CHANGED: permanent('Pass --full to start a new chain with these disks, or use another --set.'),
  E_DISK_SHRANK: permanent('If the disk was really made smaller, pass --full to start a new chain.'),
  E_DISK_IDENTITY: permanent(
    'This looks like another disk than the one this set has backed up. Pass --full to start a new chain with it, or use another --set.',
  ),

  // stores
  E_STORE_URL: permanent(
    'A store is file:///directory, s3://bucket/prefix?endpoint=…&region=… or azure://container/prefix.',
  ),
  E_STORE_MISSING: permanent('Create the bucket, container or directory first, or correct the store URL.'),
  E_STORE_DENIED: permanent('Check the credentials and what they may do on this store.'),
  E_STORE_READ_ONLY: permanent('Make the store writable, or choose another with --store.'),
  E_STORE_FULL: permanent('Free or add space in the store, then run the command again.'),
  E_STORE_UNREACHABLE: transient('Check network, name and port of the store; then run the command again.'),
  E_STORE_BUSY: transient('The store asks for fewer requests. Run the command again later.'),
  E_STORE_UNCONDITIONAL: permanent(
    'The store ignores create-if-absent (If-None-Match: *). Use a store that has it: two writers could harm each other on this one.',
  ),
  E_STORE_NO_COPY: permanent(
    'The store cannot copy parts of objects by itself. Use one that can: S3 with UploadPartCopy, Azure with Put Block From URL, a directory on a Linux file system with copy_file_range.',
  ),
  E_STORE_NO_LOCK: permanent(
    'The message says what is missing. S3: a bucket with Object Lock. Azure: a container with version-level immutability. A directory has no locks.',
  ),
  E_STORE_PROTOCOL: permanent(
    'The store gave an answer that its protocol does not allow. Check what serves this endpoint.',
  ),
  E_STORE_IO: permanent(
    'The disk or file system under the store reports errors. Check it, and the system log, before trusting it.',
  ),
  E_STORE_LINK: permanent(
    'A symbolic link lies inside the store. Remove it; to move a store, link or mount its top directory instead.',
  ),
  E_STORE_CLOCK: transient(
    "Set this machine's clock: it differs so far from the store's that the store refuses its requests.",
  ),
  E_OBJECT_MISSING: permanent('An object that should be there is gone. Run strata verify to see which points it hits.'),
  E_OBJECT_EXISTS: permanent('An object of this name exists already and is never overwritten.'),
  E_OBJECT_TRUNCATED: permanent(
    'An object is shorter than it should be. Run strata verify to see which points it hits.',
  ),
  E_OBJECT_ARCHIVED: permanent(
    'An object lies in an archive class, where it cannot be read. strata restore POINT --to PATH --thaw asks for all that the point needs; strata lifecycle check tells whether a rule of somebody else has moved it there.',
  ),
  E_OBJECT_NAME: bug('An object name was built that the layout does not allow.'),

  // format
  E_FORMAT_DAMAGED: permanent('Stored bytes are damaged. Run strata verify to see which points are hit.'),
  E_FORMAT_NEWER: permanent('This was written by a newer Strata. Upgrade this one before reading it.'),
  E_FORMAT_KIND: permanent('An object holds something else than its name says. It may have been swapped.'),
  E_SEAL_BROKEN: permanent(
    'Sealed bytes do not open: altered, swapped, or sealed for something else. Run strata verify to see which points are hit.',
  ),
  E_DIGEST_MISMATCH: permanent('A block is not what was backed up. Run strata verify to see which points are hit.'),
  E_CONTENT_ROOT: permanent(
    'The assembled map is not what the agent read; nothing was published. Run the backup again.',
  ),
  E_LIMIT: permanent('A bound of the format or of this program was passed; the message names it.'),

  // keys
  E_KEY_MISSING: permanent(
    'Give the passphrase in STRATA_PASSPHRASE, the key file with --key-file or STRATA_KEY_FILE, or the key of a recovery sheet with --recovery-key; without any of them, nothing can be opened.',
  ),
  E_KEY_WRONG: permanent(
    "The secret that was given does not open this tenant's key. Try the right one; nothing was changed.",
  ),
  E_KEY_FOREIGN: permanent(
    'The keyring belongs to another tenant or repository. Point STRATA_KEYRING at the right one.',
  ),
  E_KEY_FILE_EXISTS: permanent('A key file is never overwritten. Use it as it is, or give another path.'),
  E_KEY_LAST: permanent(
    'The last way to open the tenant stays. Add another one first: strata key passphrase, or strata key add.',
  ),
  E_KEY_DENIED: permanent(
    'Have the permission that the message names granted to whoever runs this, then run it again.',
  ),
  E_KEY_PROVIDER: permanent(
    'The message has the words of the service. See there what became of the key: disabled, deleted, or of another kind.',
  ),
  E_KEY_PROVIDER_AWAY: transient(
    'The service that keeps the key did not answer, or asks for fewer requests. Run the command again later.',
  ),
  E_RECOVERY_KEY: permanent('The message names the lines that are not as they were printed. Type those again.'),
  E_TENANT_DESTROYED: permanent(
    "The tenant's keys were destroyed, as two people had agreed. What is stored of it can be opened by nobody any more.",
  ),
  E_DESTROY_REFUSED: permanent(
    'The message says what stands against it. strata key destroy shows how far it has come.',
  ),
  E_DESTROY_PENDING: permanent(
    'While it is asked for to destroy the keys they stay as they are. To change them, cancel that first: strata key destroy --cancel.',
  ),
  E_KEYRING_MISSING: permanent('Run strata init first, or point STRATA_KEYRING at the keyring it wrote.'),
  E_KEYRING_DAMAGED: permanent(
    'Remove the keyring file; the next command that knows the passphrase writes it anew from the store.',
  ),
  E_KEYRING_BEHIND: permanent(
    "The tenant's keys were rotated after this keyring was written. Copy the keyring from a machine that has the new one and restart what serves with it, or run a command that needs the secret here, such as strata key show.",
  ),
  E_KEY_EXHAUSTED: permanent('A data key has sealed as many records as is safe. Start a new session.'),

  // repository
  E_REPOSITORY_MISSING: permanent('Check the store URL, or create a repository there with strata init.'),
  E_TENANT_EXISTS: permanent(
    'This keyring has a tenant already. Use it, or point STRATA_KEYRING at a new path for another tenant.',
  ),
  E_TENANT_UNKNOWN: permanent('Check --tenant; strata init --tenant NAME makes a new one.'),
  E_TENANT_AMBIGUOUS: permanent('Say which tenant: --tenant ID. The message lists them.'),
  E_SET_UNKNOWN: permanent('strata points lists the sets that have points.'),
  E_POINT_UNKNOWN: permanent('strata points lists the points there are.'),
  E_POINT_AMBIGUOUS: permanent("Give more characters of the point's id."),
  E_POINT_DAMAGED: permanent('See the list of damage above. restore --allow-damaged brings back the rest.'),
  E_DISK_UNKNOWN: permanent('The message lists the disks of the point.'),
  E_DISK_AMBIGUOUS: permanent('Say which disk: POINT:DISK. The message lists them.'),
  E_HISTORY_BROKEN: permanent(
    'Points of this set are missing or were replaced. Find out who could write to the store before trusting it.',
  ),
  E_SEQUENCE_TAKEN: transient('Other backups of this set kept taking the next number. Run the backup again.'),
  E_CLOCK_DISAGREES: permanent(
    "Set this machine's clock, or find out what is wrong with the store's. Nothing is deleted until they agree.",
  ),
  E_HOLD_UNKNOWN: permanent('strata hold list shows what is held.'),
  E_PRUNE_INCOMPLETE: permanent(
    'What the message names stays as it is, and everything else was done. Mend it, then prune again.',
  ),
  E_POINT_RETIRED: permanent(
    'Retention let this point go. Within its undo window strata prune --undo takes that back; later there is no way.',
  ),
  E_COPY_OVERTAKEN: transient(
    'A backup was quicker than the synthetic full. Run strata synth again: it goes on with what it has copied.',
  ),
  E_COPY_SAME_STORE: permanent(
    'Give another store with --to, or in the policy: one outside of this one, and not around it.',
  ),
  E_COPY_DIFFERS: permanent(
    'Give an empty store, or the copy of this very repository. If somebody backs up into the copy, that one is the original now.',
  ),
  E_COPY_INCOMPLETE: permanent(
    'What the message names is not in the copy, and everything else is. See what strata verify says of the source, mend it, and copy again.',
  ),

  // rules of buckets
  E_LIFECYCLE_CONFLICT: permanent(
    'Remove that rule, disable it, or give it a prefix, a tag or a size that no object below this store has. It could cost every point.',
  ),
  E_LIFECYCLE_DRIFT: permanent('strata lifecycle plan shows what is different; strata lifecycle apply mends it.'),
  E_LIFECYCLE_IMPOSSIBLE: permanent('Change the policy as the message says, and apply it again.'),
  E_LIFECYCLE_LOSSY: permanent(
    'Upgrade this program, or add the rules that strata lifecycle plan --json prints with a tool that knows those members.',
  ),
  E_LIFECYCLE_NOT_KEPT: permanent(
    'This store does not know what the rule needs, such as a limit of size. Leave that class out of storageClass.',
  ),
  E_LIFECYCLE_CHANGED: transient('Find out who changes rules there; then run strata lifecycle apply again.'),
  E_STORE_UNVERSIONED: permanent(
    'Make a bucket with Object Lock, which brings versioning along, and move the store there; or leave immutability out of the policy.',
  ),

  E_REPORT_INVALID: permanent(
    'Do not rely on this report. Ask for it again, and compare the key with the one that you were given for this tenant.',
  ),
  // prices
  E_PRICES_INVALID: permanent(
    'Correct the place that the message names; shared/src/cost/prices.json is a table that can be used.',
  ),

  // archive classes
  E_THAWING: transient(
    'Run the same command again at that time. So that no prune lets the point go meanwhile: strata hold add POINT.',
  ),

  E_CHAIN_CLOSED: permanent('Run the backup again: it begins a new chain.'),

  E_RUN_UNDER_WAY: permanent('Wait for the other run to end, or end it.'),
  E_STATE_UNWRITABLE: permanent(
    'Make the state directory writable and free space on it, or name another with STRATA_STATE.',
  ),

  // endpoints, enrolment
  E_ENDPOINT_UNKNOWN: permanent('strata endpoint list lists the endpoints there are.'),
  E_ENDPOINT_NAME: permanent(
    'Give the endpoint another name: visible characters, without @, : and /, and no space at either end.',
  ),
  E_ENDPOINT_NAME_TAKEN: permanent(
    'Give another name, or revoke the endpoint that has this one: strata endpoint revoke ID.',
  ),
  E_ENDPOINT_DUPLICATE: permanent(
    'This machine is an endpoint already. After a reinstall make a token for that endpoint: strata token create --endpoint ID. If it is gone for good: strata endpoint revoke ID.',
  ),
  E_ENDPOINT_CLONED: permanent(
    'Remove the state directory of the copy and enrol it as an endpoint of its own. If the machine was rebuilt, enrol it again with a token bound to the endpoint.',
  ),
  E_ENDPOINT_REVOKED: permanent(
    'The endpoint was revoked. Make a new enrolment token (strata token create) and enrol the machine anew.',
  ),
  E_ENROLMENT_UNKNOWN: permanent('strata token list lists the enrolment tokens there are.'),
  // Nothing tells a token that never existed from one with another secret.
  E_ENROLMENT_TOKEN: permanent('Give the whole line that strata token create has shown, or make a new token.'),
  E_ENROLMENT_EXPIRED: permanent('Make a new enrolment token: strata token create.'),
  E_ENROLMENT_REVOKED: permanent('Make a new enrolment token: strata token create.'),
  E_ENROLMENT_USED_UP: permanent(
    'Make a new enrolment token: strata token create. With --uses N one token is good for N machines.',
  ),
  E_REGISTRY_CONFLICT: transient('Somebody else changed the same document at the same moment. Try again.'),
  E_ID_AMBIGUOUS: permanent('Give more characters of the id.'),

  // requests of agents
  E_TOKEN_INVALID: permanent(
    'The service does not know who sent this request, or it was altered on its way. Check that the machine is enrolled there, and that no proxy rewrites requests.',
  ),
  E_TOKEN_EXPIRED: transient("The request took too long on its way, or this machine's clock is slow. Set the clock."),
  E_TOKEN_REPLAYED: transient('The same request came twice; only the first counts. Find out who repeats requests.'),
  E_CLOCK_SKEW: transient(
    "An agent goes by the service's time, whatever its own clock says. Where this stays, the clocks of the service's gateways differ: set them.",
  ),

  // the agent's identity
  E_IDENTITY_MISSING: permanent(
    'This machine is not enrolled, or STRATA_STATE names another directory than it was enrolled with.',
  ),
  E_IDENTITY_DAMAGED: permanent(
    'Remove the file and enrol the machine anew, with a token for its endpoint: strata token create --endpoint ID.',
  ),
  E_IDENTITY_EXISTS: permanent(
    'This machine is enrolled already. To enrol it anew remove its identity file, or name another directory with STRATA_STATE.',
  ),
  E_MACHINE_UNKNOWN: permanent(
    'Nothing tells this machine from others. On Linux run systemd-machine-id-setup, and see that /etc/machine-id can be read.',
  ),
  // policies
  E_POLICY_INVALID: permanent('Correct what the message lists, and apply the policy again.'),
  E_POLICY_NEWER: permanent(
    'The policy was written for a newer Strata. Upgrade this one; until then it keeps to the last policy it understood.',
  ),
  E_POLICY_MISSING: permanent('There is none yet. Make one with strata policy apply FILE.'),

  // sessions, queue, workers
  E_SESSION_UNKNOWN: permanent('Start the backup again.'),
  E_SEGMENTS_MISSING: permanent('Not every segment was stored; nothing was published. Run the backup again.'),
  E_SEGMENTS_PENDING: transient('Segments are staged and wait for a worker. The point is made when they are packed.'),
  // The agent sends the segment again; who reads this hint sees that it did not help.
  E_HANDOVER_LOST: permanent(
    'See that nothing removes files from the hand-over directory (/dev/shm, or STRATA_HANDOVER_DIR) while a backup runs; then run it again.',
  ),
  E_HANDOVER_SPACE: permanent(
    'Free memory in the hand-over directory (/dev/shm), or name another with STRATA_HANDOVER_DIR.',
  ),
  E_HANDOVER_IO: permanent(
    'Check the hand-over directory (/dev/shm, or STRATA_HANDOVER_DIR), who may read there, and the system log.',
  ),
  // As E_HANDOVER_LOST: it comes to a person when sending the segment again did not help.
  E_SEGMENT_INVALID: permanent(
    'A segment arrived that is not what the agent of its session sealed: it was cut or altered on its way. Find out who can write to the staging area; then run the backup again.',
  ),
  E_REDIS_MISSING: permanent(
    'Install redis-server (apt-get install redis-server), or point STRATA_REDIS_URL at a Redis.',
  ),
  E_REDIS_UNREACHABLE: permanent('Check STRATA_REDIS_URL and that Redis runs there.'),
  E_REDIS_REFUSES: permanent(
    'The message has the words of Redis. Full (OOM): free memory or raise maxmemory. READONLY: name the primary in STRATA_REDIS_URL. MISCONF: see the log of Redis. NOAUTH, WRONGPASS, NOPERM: check user and password.',
  ),
  E_REDIS_EVICTS: permanent('Set maxmemory-policy noeviction on this Redis: jobs must not vanish.'),
  E_REDIS_OLD: permanent('Use Redis 6.2 or newer.'),
  E_REDIS_LOST: permanent(
    'Redis went away and did not come back in time. There is no point of this run, or a whole one: see strata points. Run the backup again.',
  ),
  E_WORKER_DIED: permanent(
    'The worker process ended before its work was done; see its last lines above. There is no point of this run, or a whole one: see strata points.',
  ),

  // agents and the service
  E_SERVICE_UNREACHABLE: transient(
    'Check the network, the proxy and the address of the service. What was sent is kept: the next run goes on from there.',
  ),
  E_SERVICE_CERTIFICATE: permanent(
    'The message has the reason. Expired or not yet valid: renew it, or set the clock of this machine. Another name: use the name that is in it. Of an authority of your own: enrol with --ca FILE.',
  ),
  E_SERVICE_PROXY: permanent(
    'The message has its answer. Wrong or missing name and password: enrol with --proxy http://USER:PASSWORD@HOST:PORT. Else ask whoever runs the proxy to let this machine through to the service.',
  ),
  E_SERVICE_BUSY: transient('The service has enough to do and asks to wait. The agent comes back by itself.'),
  E_SERVICE_ANSWER: permanent(
    'The answer is not what the service says: check that the address is that of a Strata gateway, and what stands between.',
  ),
  E_SERVICE_REFUSED: permanent(
    'The service is newer than this agent and gave a reason that it does not know. Upgrade the agent.',
  ),
  E_PROTOCOL_VERSION: permanent('Agent and service do not speak the same version. Upgrade the older one of the two.'),
  E_ROUTE_UNKNOWN: permanent('The gateway has no such route; /v1/openapi.json lists those that it has.'),
  E_REQUEST_INVALID: permanent('The request does not have the form that /v1/openapi.json describes.'),
  E_SET_FOREIGN: permanent('An endpoint backs up its own sets only: its name, or NAME@SET.'),

  // restore
  E_TARGET_EXISTS: permanent('Pass --force to overwrite the target, or give another path.'),
  E_TARGET_MOUNTED: permanent('Unmount the target first, or pass --force if you are sure.'),
  E_TARGET_TOO_SMALL: permanent('Give a larger target. --force writes what fits, and the rest of the disk is lost.'),
  E_TARGET_UNWRITABLE: permanent('Check the path, its permissions and its free space.'),
  E_TARGET_FULL: permanent("Free space on the target's file system, or give another target."),
  E_OVERLAY_FOREIGN: permanent(
    'An overlay goes with one disk of one point. Mount that one, or give another directory.',
  ),
  E_OVERLAY_IN_USE: permanent('End the other mount first, or give another directory.'),
  E_TARGET_IS_SOURCE: permanent('The target is the store itself. Give another path.'),
} as const satisfies Record<string, CatalogueEntry>

export type ErrorCode = keyof typeof errorCatalogue

/** Facts about an error that a program may want: numbers and names, never secrets, never block contents. */
export type ErrorDetails = Readonly<Record<string, string | number | boolean | readonly string[] | readonly number[]>>

export interface ErrorOptions {
  readonly cause?: unknown
  readonly hint?: string
  readonly details?: ErrorDetails
}

export interface ErrorDocument {
  readonly code: ErrorCode
  readonly kind: ErrorKind
  readonly message: string
  readonly hint: string
  readonly details?: ErrorDetails
}

export class StrataError extends Error {
  override readonly name = 'StrataError'
  readonly code: ErrorCode
  readonly kind: ErrorKind
  readonly hint: string
  readonly details: ErrorDetails | undefined

  constructor(code: ErrorCode, message: string, options: ErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.code = code
    this.kind = errorCatalogue[code].kind
    this.hint = options.hint ?? errorCatalogue[code].hint
    this.details = options.details
  }

  toJSON(): ErrorDocument {
    return {
      code: this.code,
      kind: this.kind,
      message: this.message,
      hint: this.hint,
      ...(this.details === undefined ? {} : { details: this.details }),
    }
  }
}

export function isErrorCode(value: unknown): value is ErrorCode {
  return typeof value === 'string' && Object.hasOwn(errorCatalogue, value)
}

/** Whether `error` is a StrataError of one of `codes`. */
export function hasCode(error: unknown, ...codes: ErrorCode[]): error is StrataError {
  return error instanceof StrataError && codes.includes(error.code)
}

/** Rebuilds an error that crossed a thread, a process or a queue as an `ErrorDocument`; anything else becomes E_BUG. */
export function errorFromDocument(document: unknown): StrataError {
  if (typeof document === 'object' && document !== null) {
    const { code, message, hint, details } = document as Partial<ErrorDocument>
    if (isErrorCode(code) && typeof message === 'string') {
      return new StrataError(code, message, {
        ...(typeof hint === 'string' ? { hint } : {}),
        ...(details === undefined ? {} : { details }),
      })
    }
  }
  return new StrataError('E_BUG', `an error arrived without a code: ${JSON.stringify(document)}`)
}

/** Gives any thrown thing a code; a StrataError passes unchanged. */
export function toStrataError(error: unknown): StrataError {
  if (error instanceof StrataError) return error
  const message = error instanceof Error ? error.message : String(error)
  return new StrataError('E_BUG', message, { cause: error })
}

/** Crashes when an invariant of our own does not hold. */
export function invariant(condition: boolean, message: string): asserts condition {
  if (!condition) throw new StrataError('E_BUG', message)
}

/** The system's code (`ENOENT`, `ENOSPC`, …) of an error from Node's file and network calls. */
export function systemErrorCode(error: unknown): string | undefined {
  if (typeof error !== 'object' || error === null) return undefined
  const code: unknown = (error as { code?: unknown }).code
  return typeof code === 'string' ? code : undefined
}
