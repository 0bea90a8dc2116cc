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
/// `ClientContext`, base64 bytes. AWS.
pub const CLIENT_CONTEXT_BYTES: usize = 3_583;
/// Request line and headers of the client API, bytes. AWS: 1 MB.
pub const CLIENT_HEADER_BYTES: usize = 1 << 20;
/// Header block that a guest may send, bytes. AWS: up to 1 MiB (X-Ray cause).
pub const GUEST_HEADER_BYTES: usize = 1 << 20;
/// Headers in one request, count. Ours.
pub const HEADERS_COUNT: usize = 1_000;
/// Connections of one sandbox to its Runtime API at once, count. Ours.
pub const GUEST_CONNECTIONS: usize = 64;
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
/// Concurrent executions of one account, count. AWS default.
pub const ACCOUNT_CONCURRENCY: u32 = 1_000;
/// Concurrency that must stay unreserved, count. AWS.
pub const UNRESERVED_CONCURRENCY_MIN: u32 = 100;
/// Log tail in an answer, bytes. AWS.
pub const LOG_TAIL_BYTES: usize = 4_096;
/// Longest log line kept whole, bytes; longer ones are split. AWS CloudWatch: 256 KiB an event.
pub const LOG_LINE_BYTES: usize = 256 * 1_024;
/// How long a presigned download address lives. AWS: 10 minutes.
pub const DOWNLOAD: Duration = Duration::from_secs(600);

/// How long an invocation waits for a function that is still Pending before it answers 409. Ours.
pub const PENDING_WAIT: Duration = Duration::from_secs(5);
/// An idle environment is kept this long unless configured. Ours.
pub const IDLE_ENVIRONMENT: Duration = Duration::from_secs(600);
/// Running invocations may finish this long after SIGTERM unless configured. Ours.
pub const DRAIN: Duration = Duration::from_secs(30);
