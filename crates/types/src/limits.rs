//! Every quota as a constant with its unit and where it comes from.
//!
//! "AWS" means the public Lambda quotas page or the service model; "ours" is a limit that AWS does
//! not publish and that keeps a hostile input bounded here.

use std::time::Duration;

/// Synchronous request payload, bytes. AWS: 6 MB.
pub const INVOKE_PAYLOAD_BYTES: usize = 6_291_456;
/// Asynchronous request payload, bytes. AWS: 1 MB since 2025-10.
pub const INVOKE_EVENT_PAYLOAD_BYTES: usize = 1_048_576;
/// Buffered response, bytes. AWS: 6 MiB and 100 bytes of room.
pub const RESPONSE_BYTES: usize = 6_291_556;
/// Streamed response, bytes. AWS: 200 MB.
pub const STREAM_BYTES: u64 = 209_715_200;
/// Of a streamed response so much comes as fast as it can, bytes. AWS: 6 MB.
pub const STREAM_BURST_BYTES: u64 = 6_291_456;
/// The rest of it comes at this rate, bytes a second. AWS: 2 MB.
pub const STREAM_RATE_BYTES_PER_S: u64 = 2_097_152;
/// How often a stream gets its share of the rate. AWS: 125 ms.
pub const STREAM_RATE_STEP: Duration = Duration::from_millis(125);
/// Pieces of one streamed response that wait for its caller, count. Ours.
pub const STREAM_CHUNKS: usize = 8;
/// Size of such a piece, and of a frame to the caller, bytes; longer ones are cut. Ours.
pub const STREAM_CHUNK_BYTES: usize = 64 * 1_024;
/// Of an error's document a streaming caller gets so much, bytes: a frame holds 16 MiB, and JSON
/// in JSON may be six times as long. Ours.
pub const STREAM_ERROR_BYTES: usize = 1 << 20;
/// A stream that breaks waits so long for the reason, the end of its process, say. Ours.
pub const STREAM_BREAK_GRACE: Duration = Duration::from_millis(100);
/// `ClientContext`, base64 bytes. AWS.
pub const CLIENT_CONTEXT_BYTES: usize = 3_583;
/// Request line and headers of the client API, bytes. AWS: 1 MB.
pub const CLIENT_HEADER_BYTES: usize = 1 << 20;
/// Header block that a guest may send, bytes. AWS: up to 1 MiB (X-Ray cause).
pub const GUEST_HEADER_BYTES: usize = 1 << 20;
/// Connections of one sandbox that may send so much, count; the next ones may send less. Ours.
pub const GUEST_LONG_HEADERS: usize = 4;
/// Header block on the other connections, bytes. Ours.
pub const GUEST_SHORT_HEADER_BYTES: usize = 64 * 1_024;
/// Headers in one request, count. Ours.
pub const HEADERS_COUNT: usize = 1_000;
/// Connections of one sandbox to its Runtime API at once, count. Ours.
pub const GUEST_CONNECTIONS: usize = 64;
/// Of these each sandbox may always have so many, and one for each extension, count. Ours.
pub const GUEST_CONNECTIONS_SURE: usize = 8;
/// Of the others all sandboxes together may have so many, count. Ours.
pub const GUEST_CONNECTIONS_SPARE: usize = 1_024;
/// Client connections at once, count. Ours.
pub const CLIENT_CONNECTIONS: usize = 10_000;

/// Direct zip upload, bytes. AWS: 50 MB.
pub const ZIP_DIRECT_BYTES: u64 = 52_428_800;
/// A whole request with a zip in it, bytes. AWS: 50 MiB in base64 and room for the rest.
pub const REQUEST_BYTES: usize = 70_167_211;
/// A request without a zip in it, bytes. Ours.
pub const SMALL_REQUEST_BYTES: usize = 1 << 20;
/// Code with all layers, unzipped, bytes. AWS: 250 MB.
pub const UNZIPPED_BYTES: u64 = 262_144_000;
/// Files and folders in one zip, count. Ours.
pub const ZIP_ENTRIES: usize = 100_000;
/// Length of one path in a zip, bytes. Ours.
pub const ZIP_PATH_BYTES: usize = 1_024;
/// Zip fetched from S3, bytes. AWS: the unzipped limit bounds it.
pub const ZIP_S3_BYTES: u64 = UNZIPPED_BYTES;
/// Code storage of one account and region, bytes. AWS: 300 GB raised quota.
pub const CODE_STORAGE_BYTES: u64 = 322_122_547_200;

/// Layers of a function, count. AWS.
pub const LAYERS: usize = 5;
/// Function name in `CreateFunction`, characters. AWS.
pub const FUNCTION_NAME_CHARS: usize = 64;
/// Environment variables as compact JSON, bytes. AWS: 4 KB.
pub const ENVIRONMENT_BYTES: usize = 4_096;
/// Tags of a resource, count. AWS.
pub const TAGS: usize = 50;
/// Functions on one page of `ListFunctions`, count. AWS.
pub const LIST_PAGE: usize = 50;

/// Memory size of a function, MB. AWS.
pub const MEMORY_MB: std::ops::RangeInclusive<u32> = 128..=10_240;
/// Memory that brings the time of one processor, MB. AWS.
pub const VCPU_MB: u32 = 1_769;
/// Memory size unless given, MB. AWS.
pub const MEMORY_DEFAULT_MB: u32 = 128;
/// Timeout of a function, seconds. AWS.
pub const TIMEOUT_S: std::ops::RangeInclusive<u32> = 1..=900;
/// Timeout unless given, seconds. AWS.
pub const TIMEOUT_DEFAULT_S: u32 = 3;
/// Size of `/tmp`, MB. AWS.
pub const EPHEMERAL_STORAGE_MB: std::ops::RangeInclusive<u32> = 512..=10_240;
/// Size of `/tmp` unless given, MB. AWS.
pub const EPHEMERAL_STORAGE_DEFAULT_MB: u32 = 512;
/// Processes and threads in one sandbox, count. AWS.
pub const PROCESSES: u32 = 1_024;
/// Open files of one process in a sandbox, count. AWS.
pub const OPEN_FILES: u64 = 1_024;

/// Init phase of an on-demand environment. AWS.
pub const INIT: Duration = Duration::from_secs(10);
/// Extensions of a function, count. AWS.
pub const EXTENSIONS: usize = 10;
/// Name of an extension, bytes. Ours: no file's name is longer.
pub const EXTENSION_NAME_BYTES: usize = 255;
/// Body of a registration, bytes. Ours.
pub const EXTENSION_BODY_BYTES: usize = 64 * 1_024;
/// An error type that a guest reports is cut here, characters. Ours.
pub const ERROR_TYPE_CHARS: usize = 128;
/// What a runtime calls itself is cut here, characters. Ours.
pub const USER_AGENT_CHARS: usize = 256;
/// What a subscriber may ask for: bytes in one delivery, records in it, milliseconds until it. AWS.
pub const TELEMETRY_BYTES: std::ops::RangeInclusive<usize> = 262_144..=1_048_576;
pub const TELEMETRY_ITEMS: std::ops::RangeInclusive<usize> = 1_000..=10_000;
pub const TELEMETRY_TIMEOUT_MS: std::ops::RangeInclusive<u64> = 25..=30_000;
/// The same unless a subscriber asks. AWS.
pub const TELEMETRY_DEFAULT_BYTES: usize = 262_144;
pub const TELEMETRY_DEFAULT_ITEMS: usize = 10_000;
pub const TELEMETRY_DEFAULT_TIMEOUT_MS: u64 = 1_000;
/// Records that wait for one subscriber, bytes; the oldest are dropped. One line of
/// `LOG_LINE_BYTES` has room whatever is in it. Ours.
pub const TELEMETRY_QUEUE_BYTES: usize = 2 << 20;
/// Of that, what each subscriber has for itself; the rest is borrowed from a common room. Ours.
pub const TELEMETRY_SHARE_BYTES: usize = 16 << 10;
/// What the subscribers of all environments may have waiting beyond their shares, bytes. Ours.
pub const TELEMETRY_ROOM_BYTES: usize = 256 << 20;
/// What each of them counts beside its text, bytes. Ours.
pub const TELEMETRY_RECORD_BYTES: usize = 64;
/// Records kept during initialization for those who subscribe later, bytes; what comes then is
/// dropped and counted. Ours.
pub const TELEMETRY_EARLY_BYTES: usize = 64 * 1_024;
/// How often a delivery is tried, count. Ours.
pub const TELEMETRY_ATTEMPTS: u32 = 5;
/// Wait before the second attempt; it doubles with each. Ours.
pub const TELEMETRY_BACKOFF: Duration = Duration::from_millis(100);
/// How long one attempt may take. Ours.
pub const TELEMETRY_ATTEMPT: Duration = Duration::from_secs(5);
/// What a subscriber may answer to a delivery, bytes. Ours.
pub const TELEMETRY_ANSWER_BYTES: usize = 64 * 1_024;
/// An environment that ends waits so long for its subscribers before extensions hear of the end.
/// Ours.
pub const TELEMETRY_FLUSH: Duration = Duration::from_millis(300);
/// Time for the end of an environment with internal extensions only. AWS.
pub const SHUTDOWN_INTERNAL: Duration = Duration::from_millis(500);
/// Time for the end of an environment with external extensions. AWS.
pub const SHUTDOWN_EXTERNAL: Duration = Duration::from_millis(2_000);
/// The part of it that the runtime has. AWS.
pub const SHUTDOWN_RUNTIME_SHARE: f64 = 0.3;
/// A party that said that it cannot go on may end by itself, and finish its log, for so long. Ours.
pub const PARTY_ERROR_GRACE: Duration = Duration::from_millis(250);
/// An environment that has been idle for so long is frozen, unless configured. Ours: AWS does it at
/// once.
pub const FREEZE_GRACE: Duration = Duration::from_millis(50);
/// Concurrent executions of one account, count. AWS default.
pub const ACCOUNT_CONCURRENCY: u32 = 1_000;
/// Concurrency that must stay unreserved, count. AWS.
pub const UNRESERVED_CONCURRENCY_MIN: u32 = 100;
/// Log tail in an answer, bytes. AWS.
pub const LOG_TAIL_BYTES: usize = 4_096;
/// Longest log line kept whole, bytes; longer ones are split. AWS CloudWatch: 256 KiB an event.
pub const LOG_LINE_BYTES: usize = 256 * 1_024;
/// One event of the log store, bytes. AWS CloudWatch: 1 MB.
pub const LOG_EVENT_BYTES: usize = 1 << 20;
/// Lines that wait for the log store's writer, bytes; more are counted and dropped. Ours.
pub const LOG_QUEUE_BYTES: usize = 8 << 20;
/// Lines wait so long for others to be written with them, at most and unless configured. Ours.
pub const LOG_FLUSH: Duration = Duration::from_millis(50);
/// The longest they may be configured to wait. Ours.
pub const LOG_FLUSH_MAX: Duration = Duration::from_millis(100);
/// How often logs are made to survive a loss of power, where that is not done at each write. Ours.
pub const LOG_FSYNC: Duration = Duration::from_secs(1);
/// All logs together, bytes, unless configured; the oldest go first. Ours.
pub const LOG_STORE_BYTES: u64 = 1 << 30;
/// One file of the log store, bytes; fewer where all logs may have less than eight of them. Ours.
pub const LOG_SEGMENT_BYTES: u64 = 16 << 20;
/// A file of the log store is begun anew after this, so that its age is known. Ours.
pub const LOG_SEGMENT_AGE: Duration = Duration::from_secs(86_400);
/// How often the log store looks for what is too old. Ours.
pub const LOG_SWEEP: Duration = Duration::from_secs(60);
/// What is read of a log file at once, bytes; its place and time are in memory. Ours.
pub const LOG_BLOCK_BYTES: usize = 64 * 1_024;
/// Log groups of all accounts, count. Ours.
pub const LOG_GROUPS: usize = 20_000;
/// Log streams of all groups, count; the oldest make room for those of new environments. Ours.
pub const LOG_STREAMS: usize = 100_000;
/// Streams whose lost lines are remembered while the disk takes none, count. Ours.
pub const LOG_LOST_STREAMS: usize = 1_000;
/// Log events on one page, count. AWS.
pub const LOG_PAGE_EVENTS: usize = 10_000;
/// Messages on one page, bytes; at least one is always given. AWS: 1 MB.
pub const LOG_PAGE_BYTES: usize = 1 << 20;
/// Logs read for one page, bytes: what is not found by then is on the next page. Ours.
pub const LOG_SCAN_BYTES: usize = 64 << 20;
/// Readers of logs at once, count; others wait. Ours.
pub const LOG_SCANS: usize = 4;
/// A request of PutLogEvents, bytes: 1 MB of messages, however JSON writes them. Ours.
pub const LOG_REQUEST_BYTES: usize = 8 << 20;
/// Sessions of StartLiveTail at once, count. Ours.
pub const LIVE_TAILS: usize = 64;
/// Events that one update of StartLiveTail tells, count. AWS.
pub const LIVE_TAIL_EVENTS: usize = 500;
/// How often StartLiveTail tells of new events. AWS.
pub const LIVE_TAIL_UPDATE: Duration = Duration::from_secs(1);
/// How long a session of StartLiveTail lasts. AWS.
pub const LIVE_TAIL: Duration = Duration::from_secs(3 * 3_600);
/// How long a presigned download address lives. AWS: 10 minutes.
pub const DOWNLOAD: Duration = Duration::from_secs(600);

/// How long an invocation waits for a function that is still Pending before it answers 409. Ours.
pub const PENDING_WAIT: Duration = Duration::from_secs(5);
/// An idle environment is kept this long unless configured. Ours.
pub const IDLE_ENVIRONMENT: Duration = Duration::from_secs(600);
/// Running invocations may finish this long after SIGTERM unless configured. Ours.
pub const DRAIN: Duration = Duration::from_secs(30);

/// Size of one stored document, bytes. Ours.
pub const VALUE_BYTES: usize = 64 * 1_024;
/// Length of a document's key, bytes. Ours.
pub const KEY_BYTES: usize = 512;
/// Checks, puts, deletes and events of one transaction together, count. Ours.
pub const TXN_OPS: usize = 16;
/// Body of one queued event, bytes. Ours: an asynchronous payload and room for its envelope.
pub const EVENT_BODY_BYTES: usize = INVOKE_EVENT_PAYLOAD_BYTES + 64 * 1_024;
/// Events in one call to the queue, count. Ours.
pub const EVENTS_PER_CALL: usize = 256;
/// Events that wait or are leased at once, count. Ours.
pub const EVENTS_QUEUED: u64 = 1_000_000;
/// Dead events that are kept, count; the oldest go first. Ours.
pub const EVENTS_DEAD: u64 = 10_000;
/// Writes that wait for the store's writer, KiB; each counts as one at least, and more callers
/// wait for room. Ours.
pub const STORE_WRITES_WAITING_KIB: u32 = 64 * 1_024;
/// Read connections of the embedded store, count. Ours.
pub const STORE_READERS: usize = 4;
/// Entries on one page of a scan, count. Ours.
pub const SCAN_PAGE_ENTRIES: u32 = 1_000;
/// Values on one page of a scan, bytes; at least one entry is always given. Ours.
pub const SCAN_PAGE_BYTES: usize = 8 << 20;
/// Commits that a watcher may lag behind before it reads the history in the database, count. Ours.
pub const WATCH_RING_COMMITS: usize = 1_024;
/// Values kept for watchers in memory, bytes. Ours.
pub const WATCH_RING_BYTES: usize = 8 << 20;
/// Commits whose changes the database remembers for watchers, count. Ours.
pub const WATCH_HISTORY_COMMITS: u64 = 4_096;
/// Values that the database remembers for watchers, bytes. Ours.
pub const WATCH_HISTORY_BYTES: u64 = 64 << 20;
/// Changes handed to a watcher at once, count; a commit is never split. Ours.
pub const WATCH_BATCH_CHANGES: usize = 1_024;
/// Size of the write-ahead log at which the writer moves it into the database, bytes. Ours.
pub const WAL_BYTES: u64 = 16 << 20;
/// How long the writer is idle before it does the same. Ours.
pub const WAL_IDLE: Duration = Duration::from_millis(100);
/// Archives that are unpacked at once, count. Ours.
pub const EXTRACTIONS: usize = 4;
/// Archives that are looked at, unpacked and stored at once, count; what is known of each one's
/// files is in memory. Ours.
pub const INGESTS: usize = 8;
/// Steps spent on following the links of one archive, count. Ours.
pub const ZIP_LINK_STEPS: usize = 1_000_000;

/// An invocation that finds no idle environment waits so long for one whose runtime has answered
/// and is about to ask for the next event, before another is started. Ours.
pub const SETTLE_WAIT: Duration = Duration::from_millis(25);
/// How often the memory of busy environments is read. Ours.
pub const SAMPLE_PERIOD: Duration = Duration::from_millis(100);
/// Sandboxes being made at once, count. Ours.
pub const CREATING: usize = 16;
/// Environments at once unless configured, count. Ours.
pub const ENVIRONMENTS: usize = 5_000;
/// How long a control-plane answer waits until invocations see its change. Ours.
pub const CATALOG_WAIT: Duration = Duration::from_secs(5);
/// Packages that are fetched from the configured S3 endpoint and stored at once, count. Ours.
pub const S3_FETCHES: usize = 4;
/// How long fetching code from the configured S3 endpoint may take. Ours.
pub const S3_FETCH: Duration = Duration::from_secs(60);
/// Bodies of control-plane requests that are read at once, bytes; more of them wait. Ours.
pub const REQUEST_BYTES_AT_ONCE: usize = 384 << 20;
/// Events that are read at once, bytes; more of them wait. They do not wait for uploads. Ours.
pub const EVENT_BYTES_AT_ONCE: usize = 128 << 20;
/// What is read and thrown away of a body that is too large, so that the client sees why, bytes.
/// Ours.
pub const DISCARD_BYTES: usize = 128 << 20;
/// How long a client may be silent within a request's head or body. Ours.
pub const CLIENT_SILENCE: Duration = Duration::from_secs(60);
/// How long a client may take nothing of its answer. Ours.
pub const CLIENT_STALL: Duration = Duration::from_secs(60);
/// How long a client may take to send a whole body. Ours.
pub const CLIENT_BODY: Duration = Duration::from_secs(300);
/// Length of a bucket of a function's metrics, milliseconds. Ours.
pub const METRICS_BUCKET_MS: u64 = 60_000;
/// Buckets kept of each function's metrics, count: three hours. Ours.
pub const METRICS_BUCKETS: usize = 180;
/// Functions whose metrics are kept, count; with 80 KiB each. Ours.
pub const METRICS_FUNCTIONS: usize = 400;
/// Spans that wait to be exported, count; more are lost and counted. Ours.
pub const SPANS_QUEUED: usize = 4_096;
/// Spans in one request to the collector, count. Ours.
pub const SPANS_BATCH: usize = 256;
/// A span waits so long for others to be sent with it. Ours.
pub const SPANS_DELAY: Duration = Duration::from_secs(1);
/// How long a request to the collector may take. Ours.
pub const SPANS_EXPORT: Duration = Duration::from_secs(10);
/// Times that a batch is sent before it is given up, count. Ours.
pub const SPANS_ATTEMPTS: u32 = 3;
/// An answer of the collector, bytes. Ours.
pub const SPANS_ANSWER_BYTES: usize = 64 * 1_024;
/// How long the end of the server waits for the last spans to be taken. Ours.
pub const SPANS_LAST: Duration = Duration::from_secs(3);
