//! Every key of the configuration: its name, what it means, how it is read and shown.

use std::net::SocketAddr;
use std::time::Duration;

use bootlace_store::logs::Fsync;
use bootlace_types::limits;
use toml::Value;

use super::{Config, Isolation};

/// One key that can be set.
pub(super) struct Key {
    /// `table.key`
    pub(super) path: &'static str,
    pub(super) help: &'static str,
    /// Its value is not printed.
    pub(super) secret: bool,
    pub(super) set: fn(&mut Config, &Value) -> Result<(), String>,
    pub(super) show: fn(&Config) -> Value,
}

/// Keys and tables of later parts: refused by name, so that nobody believes they work.
pub(super) const NOT_YET: &[(&str, &str)] = &[
    (
        "server.tls_certificate",
        "TLS is not built yet; put a proxy in front",
    ),
    (
        "server.tls_key",
        "TLS is not built yet; put a proxy in front",
    ),
    (
        "server.function_url_domain",
        "function URLs are not built yet",
    ),
    (
        "egress",
        "egress is not built yet; a sandbox has its own loopback and no other network",
    ),
    (
        "cluster",
        "clusters are not built yet; one server owns its data directory",
    ),
];

/// All keys, in the order they are printed.
pub(super) const KEYS: &[Key] = &[
    key(
        "server.listen",
        "Address and port; port 0 picks a free one. Loopback only while auth.mode is none",
        |c, v| put(&mut c.server.listen, address(v)),
        |c| shown(c.server.listen),
    ),
    key(
        "server.allowed_hosts",
        "Names that the Host header may carry besides the loopback ones",
        |c, v| put(&mut c.server.allowed_hosts, list(v)),
        |c| c.server.allowed_hosts.clone().into(),
    ),
    key(
        "server.allowed_origins",
        "Origins of browser pages that may call the API",
        |c, v| put(&mut c.server.allowed_origins, list(v)),
        |c| c.server.allowed_origins.clone().into(),
    ),
    key(
        "server.region",
        "Region of requests that name none",
        |c, v| put(&mut c.server.region, parsed(v)),
        |c| shown(&c.server.region),
    ),
    key(
        "server.drain_s",
        "How long running invocations may finish after SIGTERM, seconds",
        |c, v| put(&mut c.server.drain, seconds(v)),
        |c| whole(c.server.drain.as_secs()),
    ),
    key(
        "server.log",
        "Filter of the server's own log: error, warn, info, debug, trace, or `info,bootlace_invoke=debug`",
        |c, v| put(&mut c.server.log, owned(v)),
        |c| shown(&c.server.log),
    ),
    key(
        "server.workers",
        "Threads that serve requests",
        |c, v| put(&mut c.server.workers, number(v, 1, 512)),
        |c| whole(c.server.workers),
    ),
    key(
        "store.data_dir",
        "Everything the server keeps; one server per directory",
        |c, v| put(&mut c.store.data_dir, owned(v).map(Into::into)),
        |c| shown(c.store.data_dir.display()),
    ),
    key(
        "store.code_storage_bytes",
        "Zipped code and layers of one account and region, bytes",
        |c, v| put(&mut c.store.code_storage_bytes, number(v, 1, i64::MAX)),
        |c| whole(c.store.code_storage_bytes),
    ),
    key(
        "store.s3_endpoint",
        "Where S3Bucket and S3Key are fetched from, http://HOST:PORT; empty: code comes as ZipFile only",
        |c, v| put(&mut c.store.s3.endpoint, endpoint(v)),
        |c| shown(&c.store.s3.endpoint),
    ),
    key(
        "store.s3_region",
        "Region of the S3 endpoint",
        |c, v| put(&mut c.store.s3.region, parsed(v)),
        |c| shown(&c.store.s3.region),
    ),
    key(
        "store.s3_access_key_id",
        "Access key for the S3 endpoint",
        |c, v| put(&mut c.store.s3.access_key_id, owned(v)),
        |c| shown(&c.store.s3.access_key_id),
    ),
    Key {
        secret: true,
        ..key(
            "store.s3_secret_access_key",
            "Secret key for the S3 endpoint",
            |c, v| put(&mut c.store.s3.secret_access_key, owned(v)),
            |c| shown(&c.store.s3.secret_access_key),
        )
    },
    key(
        "store.s3_path_style",
        "Whether the bucket's name is in the path, as most S3 servers want it, or in the host's name",
        |c, v| put(&mut c.store.s3.path_style, yes_or_no(v)),
        |c| Value::Boolean(c.store.s3.path_style),
    ),
    key(
        "sandbox.isolation",
        "auto: the strongest that works; namespaces; local: none at all, for trusted code",
        |c, v| put(&mut c.sandbox.isolation, isolation(v)),
        |c| shown(c.sandbox.isolation.name()),
    ),
    key(
        "sandbox.ready",
        "Network namespaces kept ready",
        |c, v| put(&mut c.sandbox.ready, number(v, 0, 4_096)),
        |c| whole(c.sandbox.ready),
    ),
    key(
        "sandbox.templates",
        "Prepared mount namespaces kept, one per function version",
        |c, v| put(&mut c.sandbox.templates, number(v, 1, 65_536)),
        |c| whole(c.sandbox.templates),
    ),
    key(
        "sandbox.freeze",
        "Whether the processes of idle environments stand still, as AWS's do",
        |c, v| put(&mut c.sandbox.freeze, yes_or_no(v)),
        |c| Value::Boolean(c.sandbox.freeze),
    ),
    key(
        "sandbox.cpu_share",
        "Whether functions get their share of the processor by memory size, as AWS's do",
        |c, v| put(&mut c.sandbox.cpu_share, yes_or_no(v)),
        |c| Value::Boolean(c.sandbox.cpu_share),
    ),
    key(
        "invoke.account_concurrency",
        "Concurrent executions of one account; more are answered with 429",
        |c, v| put(&mut c.invoke.account_concurrency, number(v, 1, 1_000_000)),
        |c| whole(c.invoke.account_concurrency),
    ),
    key(
        "invoke.max_environments",
        "Environments of all functions at once, idle ones included",
        |c, v| put(&mut c.invoke.max_environments, number(v, 1, 1_000_000)),
        |c| whole(c.invoke.max_environments),
    ),
    key(
        "invoke.idle_timeout_s",
        "How long an idle environment is kept, seconds",
        |c, v| put(&mut c.invoke.idle_timeout, seconds(v)),
        |c| whole(c.invoke.idle_timeout.as_secs()),
    ),
    key(
        "invoke.init_timeout_s",
        "How long an environment may initialize, seconds",
        |c, v| put(&mut c.invoke.init_timeout, seconds(v)),
        |c| whole(c.invoke.init_timeout.as_secs()),
    ),
    key(
        "invoke.stream_rate_bytes_per_s",
        "How fast a streamed answer may come after its burst, bytes a second",
        |c, v| {
            put(
                &mut c.invoke.stream.rate_bytes_per_s,
                number(v, 1, i64::MAX),
            )
        },
        |c| whole(c.invoke.stream.rate_bytes_per_s),
    ),
    key(
        "invoke.stream_burst_bytes",
        "How much of a streamed answer comes as fast as it can, bytes",
        |c, v| put(&mut c.invoke.stream.burst_bytes, number(v, 0, i64::MAX)),
        |c| whole(c.invoke.stream.burst_bytes),
    ),
    key(
        "invoke.stream_limit_bytes",
        "How long a streamed answer may be, bytes",
        |c, v| put(&mut c.invoke.stream.limit_bytes, number(v, 1, i64::MAX)),
        |c| whole(c.invoke.stream.limit_bytes),
    ),
    key(
        "logs.max_bytes",
        "All logs together, bytes; the oldest go first",
        |c, v| put(&mut c.logs.max_bytes, number(v, 1 << 20, i64::MAX)),
        |c| whole(c.logs.max_bytes),
    ),
    key(
        "logs.retention_days",
        "How long logs of groups are kept that say nothing else, days; 0: until there are too many",
        |c, v| put(&mut c.logs.retention_days, number(v, 0, 36_500)),
        |c| whole(c.logs.retention_days),
    ),
    key(
        "logs.flush_ms",
        "How long lines wait for others before they are written, milliseconds",
        |c, v| put(&mut c.logs.flush, flush(v)),
        |c| whole(c.logs.flush.as_millis()),
    ),
    key(
        "logs.fsync",
        "When logs are made to survive a loss of power: never, interval (every second), always",
        |c, v| put(&mut c.logs.fsync, fsync(v)),
        |c| shown(fsync_name(c.logs.fsync)),
    ),
    key(
        "telemetry.otlp_endpoint",
        "OpenTelemetry collector that gets a span of each invocation, http://HOST:4318; empty: nobody does",
        |c, v| put(&mut c.telemetry.otlp_endpoint, collector(v)),
        |c| shown(&c.telemetry.otlp_endpoint),
    ),
    key(
        "auth.mode",
        "none: requests need no signature, on loopback addresses only",
        |_, v| auth(v),
        |_| shown("none"),
    ),
];

const fn key(
    path: &'static str,
    help: &'static str,
    set: fn(&mut Config, &Value) -> Result<(), String>,
    show: fn(&Config) -> Value,
) -> Key {
    Key {
        path,
        help,
        secret: false,
        set,
        show,
    }
}

/// A value given as text, by environment or flag, in the type that the key's default has.
pub(super) fn from_text(key: &Key, text: &str) -> Result<Value, String> {
    match (key.show)(&Config::default()) {
        Value::Integer(_) => match text.parse() {
            Ok(number) => Ok(Value::Integer(number)),
            Err(_) => Err(format!("{text:?} is no whole number")),
        },
        Value::Boolean(_) => match text.parse() {
            Ok(answer) => Ok(Value::Boolean(answer)),
            Err(_) => Err(format!("{text:?} is neither true nor false")),
        },
        Value::Array(_) => {
            let items = text
                .split(',')
                .map(str::trim)
                .filter(|item| !item.is_empty());
            Ok(Value::Array(
                items.map(|item| Value::String(item.to_owned())).collect(),
            ))
        }
        _ => Ok(Value::String(text.to_owned())),
    }
}

impl Isolation {
    fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Namespaces => "namespaces",
            Self::Local => "local",
        }
    }
}

fn shown(value: impl ToString) -> Value {
    Value::String(value.to_string())
}

fn whole(value: impl TryInto<i64>) -> Value {
    Value::Integer(value.try_into().unwrap_or(i64::MAX))
}

fn text(value: &Value) -> Result<&str, String> {
    value
        .as_str()
        .ok_or_else(|| format!("a text is expected, not {}", value.type_str()))
}

fn yes_or_no(value: &Value) -> Result<bool, String> {
    let answer = value.as_bool();
    answer.ok_or_else(|| format!("true or false is expected, not {}", value.type_str()))
}

fn owned(value: &Value) -> Result<String, String> {
    text(value).map(str::to_owned)
}

fn put<T>(slot: &mut T, value: Result<T, String>) -> Result<(), String> {
    *slot = value?;
    Ok(())
}

fn parsed<T: std::str::FromStr<Err: ToString>>(value: &Value) -> Result<T, String> {
    text(value)?
        .parse()
        .map_err(|error: T::Err| error.to_string())
}

fn number<T: TryFrom<i64>>(value: &Value, low: i64, high: i64) -> Result<T, String> {
    let number = value.as_integer();
    let number =
        number.ok_or_else(|| format!("a whole number is expected, not {}", value.type_str()))?;
    if !(low..=high).contains(&number) {
        return Err(format!("{number} is not between {low} and {high}"));
    }
    T::try_from(number).map_err(|_| format!("{number} is too large"))
}

fn seconds(value: &Value) -> Result<Duration, String> {
    Ok(Duration::from_secs(number(value, 0, 86_400)?))
}

fn flush(value: &Value) -> Result<Duration, String> {
    let most = limits::LOG_FLUSH_MAX.as_millis();
    let most = i64::try_from(most).unwrap_or(i64::MAX);
    Ok(Duration::from_millis(number(value, 1, most)?))
}

fn list(value: &Value) -> Result<Vec<String>, String> {
    let items = value.as_array();
    let items =
        items.ok_or_else(|| format!("a list of texts is expected, not {}", value.type_str()))?;
    items
        .iter()
        .map(|item| text(item).map(str::to_owned))
        .collect()
}

fn address(value: &Value) -> Result<SocketAddr, String> {
    let given = text(value)?;
    let numeric = given
        .strip_prefix("localhost:")
        .map(|port| format!("127.0.0.1:{port}"));
    let numeric = numeric.as_deref().unwrap_or(given);
    numeric
        .parse()
        .map_err(|_| format!("{given:?} is no address with a port, such as 127.0.0.1:4574"))
}

fn endpoint(value: &Value) -> Result<String, String> {
    let given = text(value)?;
    if given.is_empty() || given.starts_with("http://") {
        return Ok(given.trim_end_matches('/').to_owned());
    }
    Err(format!(
        "{given:?} is no http:// address (https is not built yet)"
    ))
}

fn collector(value: &Value) -> Result<String, String> {
    let given = endpoint(value)?;
    if given.is_empty() || crate::otlp::is_endpoint(&given) {
        return Ok(given);
    }
    Err(format!("{given:?} is no http://HOST:PORT"))
}

fn isolation(value: &Value) -> Result<Isolation, String> {
    match text(value)? {
        "auto" => Ok(Isolation::Auto),
        "namespaces" => Ok(Isolation::Namespaces),
        "local" => Ok(Isolation::Local),
        other => Err(format!("{other:?} is none of auto, namespaces, local")),
    }
}

fn fsync(value: &Value) -> Result<Fsync, String> {
    match text(value)? {
        "never" => Ok(Fsync::Never),
        "interval" => Ok(Fsync::Interval),
        "always" => Ok(Fsync::Always),
        other => Err(format!("{other:?} is none of never, interval, always")),
    }
}

fn fsync_name(fsync: Fsync) -> &'static str {
    match fsync {
        Fsync::Never => "never",
        Fsync::Interval => "interval",
        Fsync::Always => "always",
    }
}

fn auth(value: &Value) -> Result<(), String> {
    match text(value)? {
        "none" => Ok(()),
        "sigv4" => Err("`sigv4` is not built yet; use `none` on a loopback address".to_owned()),
        other => Err(format!("{other:?} is none of none, sigv4")),
    }
}
