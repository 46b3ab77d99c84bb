import { invariant } from './errors.ts'

/**
 * Every bound in one place, its unit in its name, with assertions on how they relate. The format's own numbers are
 * also in docs/format.md; changing one of those changes the format.
 */

const KiB = 1024
const MiB = 1024 * KiB
const GiB = 1024 * MiB
const dayMs = 24 * 3600_000

// ── format ─────────────────────────────────────────────────────────────────────────────────────────────────────────
export const blockBytesMin = 64 * KiB
export const blockBytesMax = 4 * MiB
export const blockBytesDefault = 256 * KiB
export const blocksPerDiskMax = 2 ** 26
export const disksPerSetMax = 64
/** Entries of a map page (blocks) and of a map node (pages). */
export const pageEntriesMax = 1024
export const nodesPerDiskMax = blocksPerDiskMax / pageEntriesMax / pageEntriesMax
/** Objects that one page or node can refer to; an entry holds the index in 16 bits. */
export const referencesPerPageMax = pageEntriesMax
export const packBytesMax = 2 ** 32 - 1
export const footerEntriesMax = 8192
/** Other packs in which records of one pack's footer lie. */
export const packsNamedMax = 1024
/** Ends of packs that a commit keeps in memory; past that it reads them again when their turn comes. */
export const packTailBytesKeptMax = 64 * MiB
/** What a reader takes off a pack's end in its first request; most footers fit. */
export const footerGuessBytes = 64 * KiB
export const documentBytesMax = 4 * MiB
export const repositoryDocumentBytesMax = 4 * KiB
/** More than every key and wrap that a tenant can have. */
export const tenantKeysBytesMax = 512 * KiB
export const rootBytesMax = 16 * MiB
/** Data keys in a root: one for each worker process that stored records for a session of the chain. */
export const keysPerRootMax = 2048
/**
 * With so many data keys in its newest root a chain is not continued, and a backup starts a new one by itself: that is
 * so many points, where one worker process stored the records of each.
 */
export const chainPointsMax = 1000
/** Worker processes that a session has room for at least, those that start again among them. */
export const keysPerSessionMin = 1024
export const pointsPerSetMax = 9_999_999_999
export const nameCharsMax = 200
/** What a manifest keeps of warnings; longer messages are cut, and more of them left out. */
export const warningsPerPointMax = 200
export const warningCharsMax = 2000
/** Names of disks are part of file names on the endpoint. */
export const diskNameCharsMax = 64

// ── sessions ───────────────────────────────────────────────────────────────────────────────────────────────────────
/** Block bytes in one segment. */
export const segmentBytesMax = 64 * MiB
export const segmentEntriesMax = 4096
export const segmentsPerSessionMax = 2 ** 22
/** What a sealed segment is sealed in: whoever reads any byte of it opens this much. */
export const sealedPieceBytes = 1 * MiB
/** Block bytes of a page pack; a session with a larger map writes several. */
export const pagePackBytesMax = 32 * MiB
export const passesPerSessionMax = 3

// ── keys ───────────────────────────────────────────────────────────────────────────────────────────────────────────
/**
 * Records sealed under one derived key, that is, with one salt. NIST SP 800-38D allows 2^32 random 96-bit nonces per
 * key; a salt lives for one pack.
 */
export const recordsPerSaltMax = 2 ** 32
/** Random 96-bit salts per data key: at 2^40 the chance of one collision is 2^-17, and no session comes near. */
export const saltsPerDataKeyMax = 2 ** 40
/** Attempts at one segment: BullMQ's retries and the agent's repeats together. */
export const attemptsPerSegmentMax = 64
/** Attempts at one job; a job that was found stalled is tried once more. */
export const jobAttemptsMax = 4
export const jobStalledMax = 1
/** A worker that says nothing of its job for this long counts as dead, and the job as stalled. */
export const jobLockMs = 30_000
/** How often an agent may send one segment. */
export const sendingsPerSegmentMax = 12
export const passphraseBytesMax = 4096
/** Keys derived from one sealing key and kept; a reader goes back and forth between this many packs at no cost. */
export const derivedKeysCachedMax = 64
export const indexKeyGenerationsMax = 1024
export const privateKeyWrapsMax = 16
/** Key pairs of a tenant that were replaced: a rotation a month for twenty years. */
export const formerKeysMax = 255
/** The full name of a provider's key, and what the provider makes of 32 bytes: some 180 with AWS KMS, 512 with RSA 4096. */
export const providerKeyCharsMax = 512
export const providerWrappedBytesMax = 1024
/** scrypt's N, memory (128 × N × r) and p that a keys document may ask of us. */
export const scryptCostMax = 2 ** 20
export const scryptMemoryBytesMax = 256 * MiB
export const scryptParallelMax = 16
export const keyringBytesMax = 1 * MiB
/** A document about the end of a tenant's keys; its tombstone. */
export const destructionBytesMax = 4 * KiB
/** From the request to the end, and at least from the confirmation: whoever is against it has this long to notice. */
export const destructionDelayMsDefault = 30 * 24 * 3600_000
export const destructionDelayMsMin = 7 * 24 * 3600_000
export const destructionDelayMsMax = 366 * 24 * 3600_000
export const keyFileBytesMax = 4 * KiB
/**
 * Sessions whose data keys a worker process keeps: more than it serves at the same time, since a session that comes back
 * after its key was dropped takes one more of those that a root has room for.
 */
export const dataKeysKeptMax = 16_384

// ── endpoints and their tokens ─────────────────────────────────────────────────────────────────────────────────────
/** A set of an endpoint is called `NAME` or `NAME@…`, and fits `nameCharsMax`. */
export const endpointNameCharsMax = 100
export const noteCharsMax = 200
/** The JSON of an endpoint, an enrolment token, a claim; far more than any of them has. */
export const registryDocumentBytesMax = 64 * KiB
export const registryVersionsMax = 99_999_999
/** How often something is begun again that others were faster at. */
export const registryAttemptsMax = 16
/** Machines that one enrolment token is good for. */
export const enrolmentUsesMax = 10_000
/** The same for a token that is bound to an endpoint: who uses it again looks through all uses before. */
export const boundEnrolmentUsesMax = 16
export const enrolmentLifeMsMin = 60_000
export const enrolmentLifeMsMax = 366 * 24 * 3600_000
/** A token for one request lives for this long, as agents make it, and at most for as long as a gateway takes one. */
export const requestTokenLifeMs = 60_000
export const requestTokenLifeMsMax = 120_000
/** How far the clocks of agent and gateway may differ. */
export const requestClockSkewMsMax = 60_000
/** Path and query of a request; the token that repeats them. */
export const requestTargetCharsMax = 2048
export const requestTokenCharsMax = 4096
/** A revoked endpoint is refused at the latest after this. */
export const endpointCacheMsMax = 30_000
/** That an endpoint is not there is believed for this long. */
export const endpointMissingMsMax = 5000
/** When a signature does not fit, a document that is older than this is looked at again: it may have a new key. */
export const endpointRecheckMs = 2000
export const endpointsCachedMax = 10_000
export const identityFileBytesMax = 64 * KiB

// ── bytes in flight ────────────────────────────────────────────────────────────────────────────────────────────────
export const segmentsInFlightMax = 4
/** Segments become smaller where memory for the hand-over is scarce, but not smaller than this. */
export const segmentBytesSmall = 8 * MiB
/** A thread that packs segments holds its memory whether there is a segment for it or not. */
export const ingestThreadsMax = 4
export const handOverFileBytesMax = segmentBytesMax + 2 * MiB
/** One ranged read when blocks are read back; gaps up to `readGapBytesMax` are read along and thrown away. */
export const readBytesMax = 8 * MiB
export const readGapBytesMax = 128 * KiB
export const readsInFlightMax = 6
export const storeRequestsInFlightMax = 16
/** Bytes of ranges that are being fetched, or wait for a thread to open them. */
export const readBytesInFlightMax = readsInFlightMax * readBytesMax
/** Records whose reads are planned together: the more, the fewer requests for blocks that are spread over many packs. */
export const readWindowRecordsMax = 32_768
export const readWindowPagesMax = 128
export const readThreadsMax = 8
/** What is read or written of a directory store at once does not stay in the system's cache when it is more than this. */
export const cachedBytesMax = 1 * MiB
/** A restore sends what it has written to the disk whenever it is this much more. */
export const earlySyncBytes = 128 * MiB
/** Small neighbouring blocks are written to a target together, up to this size. */
export const gatheredWriteBytesMax = 1 * MiB
/** Parts of a device that must become zeros are read in this size, and written only where they are not zero yet. */
export const zeroingBytesMax = 1 * MiB
export const zeroTaskBytesMax = 64 * MiB
export const zeroTaskRangesMax = 4096
/** Ranges of damage that a report lists one by one; past that it only counts. */
export const damageListMax = 1000
/** The same for each point that `verify` reports on. */
export const damagePerPointListMax = 100
/** Damaged places that `verify` knows at the same time; past that it reads again what points share. */
export const damagedPlacesMax = 16_384

// ── disks that are read anywhere (docs/decisions/0028) ─────────────────────────────────────────────────────────────
/** Blocks of one disk that are kept in memory. Half of them is for reads under way, the other half for what is read ahead. */
export const imageCacheBytes = 256 * MiB
/** Pages of its map, some 45 KiB each. */
export const imagePagesKeptMax = 256
/** Blocks that are fetched and opened together: the fewer, the sooner the first one is there. */
export const imageFetchBytesMax = 4 * MiB
/** How far is read ahead of somebody who reads on and on. */
export const imageReadAheadBytesMax = 32 * MiB
/** How many of those are told apart. */
export const imageStreamsMax = 8

/** What is written to a mounted disk is kept in units: where less is written, the rest comes from the point. */
export const overlayUnitBytes = 4 * KiB
/** Zeros are written in pieces of this size where a file system has no holes. */
export const overlayZeroBytes = 1 * MiB

// ── NBD (docs/decisions/0028) ──────────────────────────────────────────────────────────────────────────────────────
/** What a client may ask for, or send, in one request; what other servers allow, too. */
export const nbdRequestBytesMax = 32 * MiB
/** Requests of one connection that are under way. Whoever sends more waits. */
export const nbdRequestsInFlightMax = 64
export const nbdConnectionsMax = 32
/** Of a client that does not come to the point. */
export const nbdHandshakeMsMax = 30_000
export const nbdOptionsMax = 256
export const nbdOptionBytesMax = 64 * KiB
/** Names of exports, by the protocol. */
export const nbdNameBytesMax = 4096
/** In one answer about what lies where. */
export const nbdExtentsMax = 1024
/** What is being read for one client, or waits for it to be taken, before its next request is looked at. */
export const nbdUnsentBytesMax = 32 * MiB
/** Memory of images that replies to all clients are sent from; what is more is copied first. */
export const nbdHeldBytesMax = 48 * MiB

// ── synthetic fulls (docs/decisions/0020) ──────────────────────────────────────────────────────────────────────────
/** Records of one pack of a synthetic full. */
export const copiedPackBytesMax = 256 * MiB
/** From here on a pack ends where the next source pack begins, so that few of these are cut in two. */
export const copiedPackBytesMin = 192 * MiB
/** Smaller packs are put together, for restores that need few requests. */
export const wholePackBytesMin = 8 * MiB
/** Of those, records that pass through the worker: it holds them in memory until the pack is written. */
export const copiedThroughWorkerBytesMax = 32 * MiB
export const copiedPacksAtOnceMax = 4
/** Dead bytes that are copied along, as a part of the live ones around them. */
export const copiedDeadShareMax = 1 / 8
/** Of a copied range, the part that may be dead so that it lies in a new file as in its old one, and is shared. */
export const sharedDeadShareMax = 1 / 16
/** Ends of source packs that are kept at hand: pieces and keys, some 11 KiB for a pack of 64 MiB of blocks. */
export const sourceEndsKeptMax = 1024
/** How often a synthetic full goes on because a backup was quicker. */
export const copyPassesMax = 16

// ── copies in other stores (docs/decisions/0025) ───────────────────────────────────────────────────────────────────
/** A larger object is none that a chain has. */
export const storeCopyObjectBytesMax = 352 * MiB
/** Objects that are copied at the same time, and what of them is in memory. */
export const storeCopyObjectsAtOnceMax = 8
export const storeCopyBytesInFlightMax = 384 * MiB
/** A larger object is read in ranges of this size: a link that breaks costs one of them. */
export const storeCopyReadBytesMax = 32 * MiB

// ── catalogue ──────────────────────────────────────────────────────────────────────────────────────────────────────
/** Numbers of one segment, level by level: each level joins as many segments of the one before. */
export const catalogGroups: readonly number[] = [16, 256]
/** A manifest with more is read by itself: one with many warnings, or dozens of disks. */
export const catalogEntryBytesMax = 64 * KiB
export const catalogSegmentBytesMax = 32 * MiB

// ── retention (docs/decisions/0021) ────────────────────────────────────────────────────────────────────────────────
/** A reader's pin counts for this long, and is renewed while it is needed. */
export const pinLifeMs = 6 * 3600_000
export const pinRenewalMs = 3600_000
/** What is tagged as retired is deleted after this, as near as the rules of a store come to it. */
export const retiredLifeMs = 24 * 3600_000
/** How often a service writes down what it has asked of the store; when it is killed, what came after is not known. */
export const usageSaveIntervalMs = 3600_000
/** Increments of a set that a forecast goes by, and the size of an object where nothing is stored yet. */
export const profiledIncrementsMax = 30
export const objectBytesAssumed = 16 * MiB
/** Of one document; there are several for more. */
export const usageSetsMax = 4096
export const usageClassesMax = 16
/** How often a service looks for sets whose turn it is, and how long a turn lasts: a little less than a day. */
export const chainsLookIntervalMs = 10 * 60_000
export const chainTurnLifeMs = 20 * 3600_000
/** A chain that closes within this time, as its lock has it, is as good as closed: each set has its turn once a day. */
export const chainClosesSoonMs = 2 * 24 * 3600_000
/** What a ledger has room for. Each is far more than a policy brings about. */
export const retentionRangesMax = 20_000
export const retentionMarksMax = 1000
export const retentionHoldsMax = 1000
export const retentionChainsMax = 10_000
export const retentionDocumentBytesMax = 2 * MiB
/** A chain that lives is looked through when the points that went had stored so many times what that reads. */
export const collectWorthMin = 10

// ── lifecycle rules (docs/decisions/0023) ──────────────────────────────────────────────────────────────────────────
/** What a rule that expires retired objects waits for: `retiredLifeMs`, as rules count it. */
export const retiredExpiryDays = 1
/** Where a bucket keeps versions, an expired object is only hidden: for so long it can still be brought back. */
export const retiredVersionDays = 7
export const uploadAbortDays = 7
/** An upload of ours lives for minutes. Whoever ends uploads sooner than this may meet one in a slow night. */
export const uploadAbortDaysMin = 2
/** Staged segments are wanted for as long as their session lives. */
export const stagedExpiryDays = 14
/**
 * Only objects that are larger go into an archive class: no page pack ever is, so maps can always be read at once. A
 * rule of S3 knows size, prefix and tags, and page packs lie among the others.
 */
export const archivedBytesMin = 64 * MiB
/** Objects are archived so much later than the chain must have ended that is copied into its successor. */
export const archiveAfterChainDaysMin = 30
/** What S3 asks for before a move into an infrequent class, and between that and the next one. */
export const s3InfrequentDaysMin = 30
export const s3LifecycleRulesMax = 1000
export const azureLifecycleRulesMax = 100
/** S3 may show the rules before for a while after new ones were written. */
export const lifecycleSettleMsMax = 60_000
export const lifecycleSettleStepMs = 2000
/** The rules of a bucket as XML; 1,000 of them are less. */
export const lifecycleBytesMax = 4 * MiB
// ── scrub and repairs (docs/decisions/0024) ────────────────────────────────────────────────────────────────────────
/** Objects of one set that are read at the same time. */
export const scrubObjectsAtOnceMax = 4
/** Of the time in which each object is to be read once, so much is left for a scrub that comes late. */
export const scrubReserveShare = 1 / 10
/** A set is scrubbed when at least this part of a round has become due, so that a round costs few listings. */
export const scrubStepsPerRound = 30
/** What was read is noted in the ledger whenever it is this much more: whoever dies loses no more than that. */
export const scrubNoteBytes = 16 * GiB
/** What a service reads of one set before it goes on to the next. */
export const scrubTurnBytesMax = 64 * GiB
/** What a ledger has room for. */
export const scrubDamageMax = 1000
export const scrubHitsMax = 8192
export const scrubPastMax = 200
export const scrubDeepMax = 50
export const scrubDocumentBytesMax = 2 * MiB
/** Records of a chain that others stand for. */
export const repairsPerChainMax = 32_768
export const repairObjectsMax = 8192
export const repairDocumentBytesMax = 3 * MiB
/** A report with thousands of sets. */
export const reportBytesMax = 16 * MiB
export const reportPeriodMsDefault = 30 * dayMs
/** What a session asks its agent to send whatever it finds: ranges of blocks. */
export const wantedRangesMax = 1024
export const wantedBlocksMax = 65_536

/** How long S3 keeps what was thawed at hand. */
export const thawedDays = 7

// ── admission (docs/decisions/0017) ────────────────────────────────────────────────────────────────────────────────
/** Of all segments of an installation that may be on their way or wait to be packed. */
export const bytesInFlightInAllMax = 64 * GiB
export const segmentsQueuedInAllMax = 8192
/** Of the staging area: also what agents left there that never came back. */
export const stagedBytesInAllMax = 256 * GiB
/** Whoever uploads for longer renews the permit. */
export const permitLifeMs = 30 * 60_000
/** What was staged and never packed counts for this long, unless it is known to be gone. */
export const stagedLifeMs = 24 * 3600_000
/** Permits that ran out are cleared away by whoever asks next, so many at once. */
export const permitSweepMax = 32
export const retryAfterMsMin = 250
export const retryAfterMsMax = 15_000
/** Who does not come back this long after the time it was told loses its place in the line. */
export const retryGraceMs = 5000
/** Of those who wait, so many keep their turn; the others cannot have theirs yet. */
export const lineSeenMax = 64
/** Jobs of one tenant whose blocks are together no more than this have one priority. */
export const fairBytes = segmentBytesMax
/** What a tenant that sent nothing for a while has packed before others have their turn again. */
export const fairBytesAhead = segmentsInFlightMax * segmentBytesMax
/** What BullMQ takes. */
export const jobPriorityMax = 2 ** 21 - 1

// ── object stores ──────────────────────────────────────────────────────────────────────────────────────────────────
export const objectNameCharsMax = 900
/** File systems allow 255 bytes in one part of a path. */
export const objectNamePartCharsMax = 255
/** S3 and Azure allow 1,024 bytes in a key: the store's prefix, a slash, and the object's name. */
export const storePrefixCharsMax = 123
export const storeUrlCharsMax = 2048
export const listPageObjectsMax = 1000
/** How many files of a directory are looked at at once while listing it. */
export const directoryStatsInFlightMax = 32
/** Upload streams hand out pieces of at most this size, so that a slow link is seen to make progress. */
export const uploadPieceBytesMax = 256 * KiB
/** In a store that keeps versions, names of which it is remembered which one counts; some 200 bytes each. */
export const storeVersionsKnownMax = 65_536
/** S3 and Azure allow as many. */
export const objectTagsMax = 10
export const objectTagCharsMax = 64
/** The tags of an object in a directory, as JSON. */
export const objectTagsBytesMax = 4 * KiB
/** Ranges that a store copies into one object. S3 takes 10,000 parts, the last of which is ours. */
export const copyRangesMax = 9999
/** S3 and Azure take some GiB in one request, but nothing is heard of it until all is copied. */
export const copyRangeBytesMax = 1 * GiB
/** Each part of an object on S3 has as much, but for the last one. */
export const s3PartBytesMin = 5 * MiB
/** What a request costs to copy on S3 and Azure, so many bytes cost in a month. */
export const copyGapBytesMax = 256 * KiB
/** How long Azure may read a source of ours by the URL that we give it, which is when the request begins. */
export const copyGrantLifeMs = 30 * 60_000
/** Requests of one compose; others may be under way beside it. */
export const copiesInFlightMax = 8
/** File systems share blocks of this size, or a power of two of it, among files. */
export const fileBlockBytes = 4 * KiB
/** What the system copies in one call, and begins to write back then: it holds one of the few threads for files. */
export const copyCallBytesMax = 8 * MiB
/** Slower than this is not meant: one segment would take a day. */
export const bandwidthBytesPerSecondMin = 1 * KiB
/** A bandwidth limit lets this much of its rate through at once after a pause. */
export const bandwidthBurstMs = 1000
/** What is read of the answer to an upload: at most a page of XML that says why it was refused. */
export const uploadAnswerBytesMax = 64 * KiB

// ── time ───────────────────────────────────────────────────────────────────────────────────────────────────────────
/** A call is tried this often, whatever the store has shown before. */
export const storeAttemptsMin = 6
export const storeRetryFirstDelayMs = 200
export const storeRetryDelayMsMax = 20_000
/** A store that has answered before may be away for this long before a run ends because of it. */
export const storeOutageMsMax = 120_000
/** Without a single byte sent or received for this long, a request is given up. */
export const storeRequestTimeoutMs = 120_000
export const storeConnectTimeoutMs = 15_000
/**
 * How long a grant for an upload to staging may be good for. An upload must have begun by then, so that minutes do; and
 * whoever gets hold of one can do no more than spoil one object.
 */
export const uploadGrantLifeMsMax = 3600_000
/** A service that keeps a key answers within this time, or is asked again a few times. */
export const keyProviderTimeoutMs = 30_000
/** How long the offset between the store's clock and ours is believed. */
export const storeClockLifeMs = 60_000
/** Directories of a store that need not be synced into those above them once more. */
export const durableDirectoriesKnownMax = 10_000
/** Left-over files of dead writers in a directory store are removed after this long. */
export const temporaryFileLifeMs = 24 * 3600_000
export const clockSkewWarnMs = 5 * 60_000
/** S3 and Azure refuse what was signed at a time that is further than this from theirs. */
export const storeClockSkewMsMax = 15 * 60_000
export const redisConnectTimeoutMs = 10_000
/** How often Redis is asked whether it is there. */
export const redisBeatIntervalMs = 5000
/** Without an answer of Redis for this long, a run is given up. */
export const redisLostMsMax = 60_000
/** What a service keeps in Redis may be removed when it has not renewed its claim for this long. */
export const queueClaimLifeMs = 10 * 60_000
/** How often it is asked whether Redis still knows a job that somebody waits for. */
export const jobCheckIntervalMs = 2000
/** How long a session that is given up waits for what is under way, and clears away its packs. */
export const abandonMsMax = 10_000
/** How long a service that closes waits for jobs, queue and store. */
export const serviceCloseMsMax = 8000
/** When its parent is gone, the service process ends after this long, whatever hangs. */
export const serviceEndMsMax = 10_000
/** A command that is done ends after this long, whatever still hangs in its process. */
export const programEndMsMax = 2000
export const sessionLifeMs = 14 * 24 * 3600_000
/** Of a process that serves: packs and documents that are written to a directory store at once. */
export const serverFileThreads = 16
/** So long after a session without a point is over a worker may wake up that was storing a pack of it. */
export const sessionLateMs = 24 * 3600_000
/** A sweep runs beside backups, and takes little of the store from them. */
export const sweepDeletesInFlightMax = 4

// ── agents and the service ─────────────────────────────────────────────────────────────────────────────────────────
/** Commits that one process works on at the same time: most of a commit is waiting for the store. */
export const commitsAtOnceMax = 4
/** How long a commit waits before it looks again for packs of staged segments. */
export const commitPendingDelayMs = 250
/** How often a process with the role maintain looks whether Redis still has what it had. */
export const maintainBeatMs = 5000
/** How often dead sessions are looked for, and jobs given again that may have been lost. */
export const maintainIntervalMs = 3600_000
/** Staged segments of a session that is over stay this long: an upload may be on its way. */
export const stagedLeftLifeMs = 2 * 3600_000
/** What a worker packs in the time in which nobody minds to wait. */
export const smallSegmentBytesMax = 4 * MiB
/** They wait for the store more than for a processor. */
export const smallSegmentsAtOnceMax = 16
/** Sessions whose documents a worker keeps at hand. */
export const ingestSessionsKeptMax = 256
/** Sessions that a gateway keeps at hand for each tenant; what it forgets it reads again. */
export const gatewaySessionsKeptMax = 256
/** Sets whose newest number a gateway remembers for each tenant: a session of another lists all numbers of its set. */
export const gatewaySetsKeptMax = 50_000
/**
 * Numbers that a gateway reads to find the point that a session has become. Sessions live for days, and one that is not
 * found is begun again; so who asks with an absurd `after` costs a bounded number of requests, and nothing is lost.
 */
export const publishedSearchMax = 256
/** How often a service looks for keyrings of tenants that it does not know. */
export const keyringsLookedForIntervalMs = 5000
/** A policy is taken up by gateways within this time, and by agents with their next question. */
export const policyCacheMsMax = 30_000
/** How often an agent that runs by schedule asks for the policy. */
export const policyAskedIntervalMs = 15 * 60_000
/** A run by schedule that failed for what may pass is tried so often, with pauses, before it waits for its next time. */
export const runAttemptsMax = 4
export const runRetryDelayMs = 10 * 60_000
/** Of a request that is no segment. */
export const gatewayBodyBytesMax = 1 * MiB
/** Of one without a token: an enrolment, whatever is written with escapes in it. */
export const strangerBodyBytesMax = 16 * KiB
/** Of a request that is no segment: the body is there by then. */
export const gatewayBodyTimeoutMs = 120_000
/** Until then the head of a request is there. */
export const gatewayHeadTimeoutMs = 60_000
/** How often a gateway looks for requests that have taken too long. */
export const gatewayCheckIntervalMs = 10_000
/** Without a byte for this long a connection of the gateway is ended. */
export const gatewayConnectionTimeoutMs = 300_000
/** A segment over a slow link takes its time. */
export const gatewayRequestTimeoutMs = 3600_000
/** What is still on its way when a gateway ends may take so long; agents send it again. */
export const gatewayCloseMsMax = 8000
/** When a gateway without a staging area has no room for a segment, the agent comes back after this. */
export const handOverFullRetryMs = 5000
/** A stream of events says that it is still there. */
export const serverEventsBeatMs = 15_000
export const serverEventCharsMax = 1 * MiB
export const serviceAnswerBytesMax = 4 * MiB
/** Without a byte from the service for this long, a request is given up and tried again. */
export const serviceIdleTimeoutMs = 320_000
/** A service that is away for longer than this ends the run; the next one goes on with its session. */
export const serviceOutageMsMax = 10 * 60_000
export const serviceRetryFirstDelayMs = 500
export const serviceRetryDelayMsMax = 60_000
/** Within this time an upload to the staging area must have begun. */
export const uploadGrantLifeMs = 15 * 60_000
/** Presigned URLs carry a session token of the store, which may be long. */
export const uploadUrlCharsMax = 8192

// ── agent ──────────────────────────────────────────────────────────────────────────────────────────────────────────
export const scanThreadsMax = 4
/** What one task of a scan thread covers of a disk; at most one page of blocks. */
export const scanRangeBytes = 64 * MiB
/** What a scan thread reads at once: small enough that digest and segment find it in the processor's cache. */
export const scanPieceBytes = 1 * MiB
/**
 * Offsets, lengths and memory of reads that pass the system's cache are multiples of this: Linux has no device with
 * larger sectors.
 */
export const directAlignmentBytes = 64 * KiB
/** How far the fastest scan thread may be ahead of the slowest. */
export const scanRangesAheadMax = 64
export const baseDigestPagesPerRequest = 16
/** How often one segment is handed over again after it was lost between agent and worker. */
export const handOversPerSegmentMax = 8
/** Two writes within one step of a file system's clock leave the same time stamp. */
export const timestampStepMs = 20
/** The step of file systems that keep whole seconds only. */
export const timestampCoarseStepMs = 2000

// ── policies and schedules ─────────────────────────────────────────────────────────────────────────────────────────
export const policyBytesMax = 64 * KiB
/** Names in `requires`. */
export const policyFeaturesMax = 64
export const policyFeatureCharsMax = 64
export const policyProblemsMax = 50
export const cronCharsMax = 200
export const timeZoneCharsMax = 64
/** What is kept at hand of time zones, and of days in them. */
export const timeZonesKeptMax = 16
export const wallDaysKeptMax = 64
export const steadyDaysKeptMax = 4096
/** No schedule runs more often, by interval or by cron. */
export const scheduleIntervalMsMin = 5 * 60_000
export const scheduleIntervalMsMax = 366 * 24 * 3600_000
export const scheduleJitterMsMax = 12 * 3600_000
/** Windows in `hours`. */
export const hoursWindowsMax = 32
/** A window of one day a week that a change of clocks leaves out is there a week later. */
export const hoursSearchDaysMax = 16
/** How many a rule of `retention` keeps at most: ten years of days and weeks, a hundred of months. */
export const retentionCountsMax = {
  last: 10_000,
  hourly: 10_000,
  daily: 3660,
  weekly: 530,
  monthly: 1200,
  yearly: 100,
} as const
export const retentionAgeMsMax = 36_500 * dayMs
/** When a point goes is told as far ahead as this; what stays for longer has no end that can be foreseen. */
export const retentionForeseenMs = 36_525 * dayMs
/** Between the mark on a point and the end of its data there is time to take it back. */
export const undoWindowMsMin = dayMs
export const undoWindowMsDefault = 7 * dayMs
export const undoWindowMsMax = 90 * dayMs
/** A chain closes by policy, long before it has to (`chainPointsMax`). */
export const chainPointsMin = 2
export const chainPointsDefault = 200
export const chainAgeMsMin = dayMs
export const chainAgeMsDefault = 180 * dayMs
export const chainAgeMsMax = 3660 * dayMs
export const chainDeadPercentDefault = 30
export const verifyEveryDaysDefault = 30
export const verifyEveryDaysMax = 3660
/** Locks, and ages at which objects change their class. */
export const policyDaysMax = 36_500
export const copiesMax = 8
export const copyNameCharsMax = 64
/** In whatever currency. */
export const budgetPerMonthMax = 1_000_000_000
/** 29 February can be eight years away. */
export const cronSearchDaysMax = 3000
/** Missed runs are counted up to this. */
export const scheduleMissedRunsMax = 100
/** A run that begins later than this was missed; `missed: 'skip'` leaves it out. */
export const scheduleLateMsMax = 15 * 60_000
/** How often a run is begun for one scheduled time, when the process dies in the middle of it. */
export const scheduleAttemptsMax = 3
/**
 * When the clock goes back by no more than this, no scheduled time is run again. When it goes back further, what was run
 * in between does not count: it was wrong for so long that nothing would be backed up for days.
 */
export const clockStepBackHeldMsMax = 26 * 3600_000
/** Runs that an endpoint remembers, so that none is run twice. */
export const scheduleRunsRememberedMax = 512
/** A keeper looks at the clock this often at least: a machine that was asleep wakes, a clock is set. */
export const scheduleSleepMsMax = 60_000
export const scheduleSleepMsMin = 1000
export const scheduleStateBytesMax = 512 * KiB
/** A clock that shows more, the year 9999, is taken to show this. */
export const clockMsMax = 253_402_300_799_999

// ── cost ──────────────────────────────────────────────────────────────────────────────────────────────────────────
/** A price of a GB, or of 1,000 requests: far above any, in whatever currency. */
export const priceMax = 1_000_000
export const priceTextCharsMax = 2000
export const priceNotesMax = 32
export const forecastMonthsMax = 120
export const forecastMonthsDefault = 12
export const priceTableBytesMax = 1 * MiB

// ── command line ───────────────────────────────────────────────────────────────────────────────────────────────────
export const progressRedrawIntervalMs = 100
/** Where progress goes to a log, a line of it this often. */
export const progressLineIntervalMs = 5000
/** How often somebody may mistype a new passphrase before the command gives up. */
export const passphrasePromptsMax = 3
/** Below this a new passphrase is warned about: whoever can read the store can try guesses without being seen. */
export const passphraseCharsAdvised = 12

invariant(
  serverEventsBeatMs * 4 < gatewayConnectionTimeoutMs,
  'a stream of events outlives a beat or two that come late',
)
invariant(
  gatewayConnectionTimeoutMs < serviceIdleTimeoutMs,
  'the gateway gives up a silent connection before the agent does',
)
invariant(
  gatewayHeadTimeoutMs <= gatewayBodyTimeoutMs && gatewayBodyTimeoutMs <= gatewayRequestTimeoutMs,
  'each part of a request has its time within that of the whole',
)
invariant(gatewayBodyTimeoutMs <= gatewayConnectionTimeoutMs, 'a body is no slower than a silent connection')
invariant(strangerBodyBytesMax <= gatewayBodyBytesMax, 'strangers get no more than endpoints')
invariant(serviceRetryDelayMsMax * 4 < serviceOutageMsMax, 'a service that is away is asked a few times more')
invariant(nodesPerDiskMax === 64, 'two levels of 1,024 entries and 64 nodes carry 2^26 blocks')
invariant(
  chainPointsMax - 1 + keysPerSessionMin <= keysPerRootMax,
  'a session that continues a chain has room for the keys of its workers, however long the chain is',
)
invariant(segmentBytesMax % blockBytesMax === 0, 'a segment holds whole blocks of every size')
invariant(segmentBytesSmall % blockBytesMax === 0, 'a small segment holds whole blocks of every size')
invariant(
  segmentEntriesMax >= segmentBytesMax / blockBytesMin,
  'a segment of the smallest blocks has room for its entries',
)
invariant(segmentEntriesMax <= footerEntriesMax, 'one attempt at one segment writes one pack')
invariant(
  copiedThroughWorkerBytesMax >= 2 * blockBytesMax && copiedThroughWorkerBytesMax <= copiedPackBytesMax,
  'a pack that passes through the worker has more than one record',
)
invariant(copiedPackBytesMin < copiedPackBytesMax, 'a pack of a synthetic full has some room')
invariant(wholePackBytesMin <= archivedBytesMin, 'what may be archived may be copied whole')
invariant(
  copiedPackBytesMax * (1 + copiedDeadShareMax) + segmentBytesMax < packBytesMax,
  'offsets in a copied pack fit 32 bits',
)
invariant(
  copiedPackBytesMax * (1 + copiedDeadShareMax) + segmentBytesMax <= storeCopyObjectBytesMax,
  'every pack of a chain can be copied to another store',
)
invariant(
  storeCopyObjectBytesMax + storeCopyReadBytesMax <= storeCopyBytesInFlightMax,
  'the largest object fits into memory with the range that is being read of it',
)
invariant(blockBytesMin % overlayUnitBytes === 0, 'a block is whole units')
invariant(
  nbdUnsentBytesMax >= nbdRequestBytesMax &&
    imageCacheBytes / 2 - nbdHeldBytesMax >= nbdRequestBytesMax + 2 * blockBytesMax,
  'whatever clients do not take, the largest request finds room in the part of the cache that is for requests',
)
invariant(
  imageFetchBytesMax % blockBytesMax === 0 && imageReadAheadBytesMax % imageFetchBytesMax === 0,
  'blocks of every size are fetched whole',
)
invariant(storeCopyObjectsAtOnceMax <= storeRequestsInFlightMax, 'copying leaves the store some room')
invariant(pinLifeMs * 2 <= undoWindowMsMin, 'whoever pins a point before it is marked is met before it goes')
invariant(retiredExpiryDays * dayMs === retiredLifeMs, 'rules and the sweeper of a directory mean the same')
invariant(
  archivedBytesMin >= pagePackBytesMax + rootBytesMax && archivedBytesMin < copiedPackBytesMax,
  'no page pack is archived, with whatever footer; packs of synthetic fulls are',
)
invariant(uploadAbortDaysMin <= uploadAbortDays, 'our own rule keeps to what is asked of others')
invariant(stagedExpiryDays * dayMs >= sessionLifeMs, 'what is staged outlives its session')
invariant(
  chainTurnLifeMs * 2 <= chainClosesSoonMs,
  'a set has its turn before its chain closes, also when one is missed',
)
invariant(pinRenewalMs * 4 <= pinLifeMs, 'a pin outlives a few renewals that fail')
invariant(retentionDocumentBytesMax <= documentBytesMax, 'a ledger is a document')
invariant(scrubDocumentBytesMax <= documentBytesMax && repairDocumentBytesMax <= documentBytesMax, 'both are documents')
invariant(scrubNoteBytes <= scrubTurnBytesMax, 'a turn of a scrub is noted at its end at the latest')
invariant(footerEntriesMax <= recordsPerSaltMax, 'a pack stays far below the nonce limit of its salt')
invariant(segmentsPerSessionMax * attemptsPerSegmentMax <= saltsPerDataKeyMax, 'a session cannot exhaust its data key')
invariant(
  sendingsPerSegmentMax * (jobAttemptsMax + jobStalledMax) <= attemptsPerSegmentMax,
  'sendings and retries together stay within the attempts at a segment',
)
invariant(
  bytesInFlightInAllMax >= 64 * handOverFileBytesMax && segmentsQueuedInAllMax >= 64 * segmentsInFlightMax,
  'dozens of tenants have a share of more than one segment',
)
invariant(bytesInFlightInAllMax <= stagedBytesInAllMax, 'whatever is in flight may be staged')
invariant(permitLifeMs <= stagedLifeMs, 'what is in flight counts as staged')
invariant(retryAfterMsMax + retryGraceMs < permitLifeMs, 'a place in the line is lost long before a permit is')
invariant(
  segmentsQueuedInAllMax * segmentBytesMax <= jobPriorityMax * fairBytes,
  'the priorities last for a queue that is full many times over',
)
invariant(ingestThreadsMax <= segmentsInFlightMax, 'no thread is kept for segments that are never on their way')
invariant(handOversPerSegmentMax <= sendingsPerSegmentMax, 'an agent gives up before the gateway refuses')
invariant(blockBytesMin % directAlignmentBytes === 0, 'every block begins where a direct read may begin')
invariant(scanPieceBytes % directAlignmentBytes === 0, 'a piece of a scan can be read directly')
invariant(2 * redisBeatIntervalMs <= redisLostMsMax, 'Redis is asked more than once before it counts as lost')
invariant(redisLostMsMax < queueClaimLifeMs / 2, 'a service gives up before another one removes its queues')
invariant(serviceCloseMsMax < serviceEndMsMax, 'a service that closes in time is not ended in the middle of it')
invariant(sweepDeletesInFlightMax < storeRequestsInFlightMax, 'a sweep leaves most of the store to the work beside it')
invariant(readWindowRecordsMax >= pageEntriesMax, 'a window holds at least one page')
invariant(readBytesMax >= 2 * blockBytesMax, 'one read takes at least one whole record')
invariant(
  objectTagsBytesMax >= objectTagsMax * 2 * (objectTagCharsMax + 4) + 256,
  'a file of tags has room for the longest ones',
)
invariant(copyCallBytesMax % fileBlockBytes === 0, 'a call ends where a block does, if it begins so')
invariant(copiesInFlightMax < storeRequestsInFlightMax, 'a compose leaves requests to the work beside it')
invariant(copyRangesMax + 1 <= 10_000 && copyRangeBytesMax <= 4000 * MiB, 'S3 and Azure take every compose')
invariant(copyGrantLifeMs > storeClockSkewMsMax, 'what a slow clock grants is not over when it begins')
invariant(copyGapBytesMax < s3PartBytesMin, 'a gap is less than what a request must copy')
invariant(storePrefixCharsMax + 1 + objectNameCharsMax <= 1024, 'prefix and name fit a key of S3 and of Azure')
invariant(
  storeRetryFirstDelayMs * 2 ** (storeAttemptsMin - 1) <= storeOutageMsMax / 10,
  'a store that has never answered is named as such within seconds',
)
invariant(
  storeOutageMsMax >= 4 * storeRetryDelayMsMax,
  'pauses grow to their longest, and there are a few of those, before an outage is too long',
)
invariant(storeConnectTimeoutMs < storeOutageMsMax, 'one connection that cannot be made is no whole outage')
invariant(clockSkewWarnMs < storeClockSkewMsMax, 'a wrong clock is warned of before a store refuses it')
invariant(
  clockSkewWarnMs + uploadGrantLifeMsMax <= 7 * 24 * 3600_000,
  'a grant, begun early for the sake of clocks, is no longer than S3 lets a signature live',
)
invariant(
  repositoryDocumentBytesMax <= documentBytesMax && tenantKeysBytesMax <= documentBytesMax,
  'what is read as an object can be read as a document',
)
invariant(
  destructionDelayMsMin <= destructionDelayMsDefault && destructionDelayMsDefault <= destructionDelayMsMax,
  'what is destroyed if nobody says when is destroyed within the bounds',
)
invariant(formerKeysMax < indexKeyGenerationsMax, 'each rotation has a generation of the index key')
invariant(pagePackBytesMax < packBytesMax, 'offsets in a page pack fit 32 bits')
invariant(2 * endpointNameCharsMax <= nameCharsMax, "an endpoint's name leaves room for that of its sets")
invariant(registryDocumentBytesMax <= documentBytesMax, "a registry's document is a document")
invariant(enrolmentUsesMax <= registryVersionsMax, 'uses are numbered as versions are')
invariant(requestTokenLifeMs <= requestTokenLifeMsMax, 'what agents sign is taken')
invariant(
  requestTokenLifeMs > requestClockSkewMsMax / 2 && requestClockSkewMsMax <= requestTokenLifeMsMax,
  'clocks that differ a little leave a token some life, and do not make it endless',
)
invariant(requestTokenCharsMax >= Math.ceil((requestTargetCharsMax * 4) / 3) + 1024, 'a token has room for its request')
invariant(
  endpointRecheckMs < endpointMissingMsMax && endpointMissingMsMax < endpointCacheMsMax,
  'a machine that was just enrolled is known before a revoked one is forgotten',
)
invariant(scheduleSleepMsMin <= scheduleSleepMsMax, 'a keeper sleeps between its bounds')
invariant(scheduleSleepMsMax < scheduleLateMsMax, 'a run is not missed because the keeper slept')
invariant(scheduleSleepMsMax < scheduleIntervalMsMin, 'the keeper sees each scheduled time on its own')
invariant(
  undoWindowMsMin <= undoWindowMsDefault && undoWindowMsDefault <= undoWindowMsMax,
  'the undo window that nobody chose could be chosen',
)
invariant(
  chainPointsMin <= chainPointsDefault && chainPointsDefault <= chainPointsMax,
  'a chain closes by policy before it is full',
)
invariant(
  chainAgeMsMin <= chainAgeMsDefault && chainAgeMsDefault <= chainAgeMsMax,
  'the age of a chain that nobody chose could be chosen',
)
invariant(verifyEveryDaysDefault <= verifyEveryDaysMax, 'a round of verification that nobody chose could be chosen')
invariant(
  retentionForeseenMs >= retentionAgeMsMax && retentionForeseenMs >= retentionCountsMax.yearly * 365 * dayMs,
  'the end of whatever a policy can ask for is foreseen',
)
invariant(hoursSearchDaysMax > 2 * 7, 'a window that is left out once is found a week later')
invariant(
  scheduleRunsRememberedMax * scheduleIntervalMsMin > clockStepBackHeldMsMax,
  'whatever was run while the clock is held against going back is remembered',
)
invariant(
  scheduleStateBytesMax >= 2 * policyBytesMax + scheduleRunsRememberedMax * 256,
  'the policy and all runs that are remembered fit the state of the schedule',
)
