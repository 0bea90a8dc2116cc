//! The configuration: what it holds, and what it is unless said otherwise.
//!
//! One TOML table per component. Every key can also be given as `BOOTLACE_<TABLE>__<KEY>` or as
//! `--set <table>.<key>=<value>`, and the frequent ones by a flag of their own. [`keys`] is the one
//! list of keys; [`load`] lays the sources over each other; [`check`] holds the rules between keys.

mod check;
mod keys;
mod load;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use bootlace_invoke::StreamLimits;
use bootlace_store::logs::{Fsync, LogOptions};
use bootlace_types::{Region, limits};

pub(crate) use load::{ConfigOptions, Loaded, Origin};

/// The effective configuration.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Config {
    pub(crate) server: Server,
    pub(crate) store: Store,
    pub(crate) sandbox: Sandbox,
    pub(crate) invoke: Invoke,
    pub(crate) logs: Logs,
    pub(crate) telemetry: Telemetry,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Server {
    pub(crate) listen: SocketAddr,
    /// Names a request's Host may carry, besides the loopback ones.
    pub(crate) allowed_hosts: Vec<String>,
    /// Origins of browser pages that may call the API.
    pub(crate) allowed_origins: Vec<String>,
    /// Of requests that name no region.
    pub(crate) region: Region,
    /// How long running invocations may finish after SIGTERM.
    pub(crate) drain: Duration,
    pub(crate) log: String,
    /// Threads that serve requests, count.
    pub(crate) workers: usize,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Store {
    pub(crate) data_dir: PathBuf,
    /// Code and layers of one account and region, zipped, bytes.
    pub(crate) code_storage_bytes: u64,
    /// Where `S3Bucket` and `S3Key` are fetched from.
    pub(crate) s3: S3,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct S3 {
    /// Empty: there is none.
    pub(crate) endpoint: String,
    pub(crate) region: Region,
    pub(crate) access_key_id: String,
    pub(crate) secret_access_key: String,
    /// The bucket is in the path, not in the host's name.
    pub(crate) path_style: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Isolation {
    Auto,
    Namespaces,
    Local,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Sandbox {
    pub(crate) isolation: Isolation,
    /// Network namespaces kept ready, count.
    pub(crate) ready: usize,
    /// Prepared mount namespaces kept, count.
    pub(crate) templates: usize,
    /// Functions get processor time by their memory size.
    pub(crate) cpu_share: bool,
    /// Idle environments are frozen.
    pub(crate) freeze: bool,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Invoke {
    /// Concurrent executions of one account, count.
    pub(crate) account_concurrency: u32,
    /// Environments at once, of all functions together, idle ones included, count.
    pub(crate) max_environments: usize,
    pub(crate) idle_timeout: Duration,
    pub(crate) init_timeout: Duration,
    pub(crate) stream: StreamLimits,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Logs {
    /// All logs together, bytes.
    pub(crate) max_bytes: u64,
    /// Of groups that say nothing else; 0: no limit of age.
    pub(crate) retention_days: u32,
    /// Lines wait so long for others before they are written.
    pub(crate) flush: Duration,
    pub(crate) fsync: Fsync,
}

#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Telemetry {
    /// Collector of spans; empty: there is none.
    pub(crate) otlp_endpoint: String,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 4574)),
            allowed_hosts: Vec::new(),
            allowed_origins: Vec::new(),
            region: Region::default(),
            drain: limits::DRAIN,
            log: "info".to_owned(),
            workers: 2,
        }
    }
}

impl Default for Store {
    fn default() -> Self {
        Self {
            data_dir: default_data_dir(),
            code_storage_bytes: limits::CODE_STORAGE_BYTES,
            s3: S3::default(),
        }
    }
}

impl Default for S3 {
    fn default() -> Self {
        Self {
            endpoint: String::new(),
            region: Region::default(),
            access_key_id: String::new(),
            secret_access_key: String::new(),
            path_style: true,
        }
    }
}

impl Default for Sandbox {
    fn default() -> Self {
        let pool = bootlace_sandbox::PoolOptions::default();
        Self {
            isolation: Isolation::Auto,
            ready: pool.ready,
            templates: pool.templates,
            cpu_share: false,
            freeze: true,
        }
    }
}

impl Default for Invoke {
    fn default() -> Self {
        Self {
            account_concurrency: limits::ACCOUNT_CONCURRENCY,
            max_environments: limits::ENVIRONMENTS,
            idle_timeout: limits::IDLE_ENVIRONMENT,
            init_timeout: limits::INIT,
            stream: StreamLimits::default(),
        }
    }
}

impl Default for Logs {
    fn default() -> Self {
        let options = LogOptions::default();
        Self {
            max_bytes: options.max_bytes,
            retention_days: options.retention_days.unwrap_or(0),
            flush: options.flush,
            fsync: options.fsync,
        }
    }
}

/// `/var/lib/bootlace` for root, else the user's own place for data.
fn default_data_dir() -> PathBuf {
    if rustix::process::geteuid().is_root() {
        return PathBuf::from("/var/lib/bootlace");
    }
    let directory = |name| {
        std::env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    directory("XDG_DATA_HOME")
        .or_else(|| directory("HOME").map(|home| home.join(".local/share")))
        .map_or_else(
            || PathBuf::from("bootlace-data"),
            |data| data.join("bootlace"),
        )
}
