//! From the configuration's words to those of each crate.

use bootlace_api::ApiOptions;
use bootlace_control::{ControlOptions, S3Endpoint};
use bootlace_invoke::{DispatcherOptions, SpanSink};
use bootlace_sandbox::{Driver, Isolation, LinuxOptions, PoolOptions, SpawnerCommand};
use bootlace_store::DataDir;
use bootlace_store::logs::LogOptions;
use bootlace_types::limits;

use crate::config::{self, Config};
use crate::otlp::Exporter;
use crate::telemetry::Metrics;

pub(super) fn sandbox(config: &config::Sandbox, data_dir: &DataDir) -> (Isolation, LinuxOptions) {
    let options = LinuxOptions {
        spawner: SpawnerCommand {
            // The file this process runs, even if another has taken its name since.
            exe: "/proc/self/exe".into(),
            args: vec![crate::SANDBOX_INIT.to_owned()],
        },
        instance: data_dir.instance().to_owned(),
        run_dir: data_dir.run_dir(),
        trees_dir: data_dir.trees_dir(),
        pool: PoolOptions {
            ready: config.ready,
            templates: config.templates,
        },
    };
    let isolation = match config.isolation {
        config::Isolation::Auto => Isolation::Auto,
        config::Isolation::Namespaces => Isolation::Namespaces,
        config::Isolation::Local => Isolation::Local,
    };
    (isolation, options)
}

pub(super) fn control(config: &Config) -> ControlOptions {
    let s3 = &config.store.s3;
    ControlOptions {
        s3: (!s3.endpoint.is_empty()).then(|| S3Endpoint {
            url: s3.endpoint.clone(),
            region: s3.region.to_string(),
            access_key_id: s3.access_key_id.clone(),
            secret_access_key: s3.secret_access_key.clone(),
            path_style: s3.path_style,
        }),
        code_storage_bytes: config.store.code_storage_bytes,
        account_concurrency: config.invoke.account_concurrency,
    }
}

pub(super) fn dispatcher(config: &Config, spans: SpanSink) -> DispatcherOptions {
    let freeze_grace = config.sandbox.freeze.then_some(limits::FREEZE_GRACE);
    let cpu_share = config.sandbox.cpu_share;
    let config = &config.invoke;
    DispatcherOptions {
        freeze_grace,
        cpu_share,
        account_concurrency: config.account_concurrency,
        idle_timeout: config.idle_timeout,
        init_timeout: config.init_timeout,
        max_environments: config.max_environments,
        stream: config.stream,
        spans,
        ..DispatcherOptions::default()
    }
}

pub(super) fn logs(config: &config::Logs) -> LogOptions {
    LogOptions {
        flush: config.flush,
        fsync: config.fsync,
        max_bytes: config.max_bytes,
        retention_days: (config.retention_days > 0).then_some(config.retention_days),
    }
}

/// Where spans go, and who takes them there.
pub(super) fn spans(config: &config::Telemetry) -> anyhow::Result<(SpanSink, Option<Exporter>)> {
    if config.otlp_endpoint.is_empty() {
        return Ok((SpanSink::None, None));
    }
    let (sink, queue) = SpanSink::queue();
    let exporter = Exporter::start(&config.otlp_endpoint, queue)?;
    Ok((sink, Some(exporter)))
}

pub(super) fn api(config: &Config, driver: &Driver, metrics: &Metrics) -> ApiOptions {
    ApiOptions {
        allowed_hosts: config.server.allowed_hosts.clone(),
        allowed_origins: config.server.allowed_origins.clone(),
        default_region: config.server.region.clone(),
        version: env!("CARGO_PKG_VERSION"),
        // Without authentication the server listens on loopback addresses only; `config` sees to it.
        reset_allowed: config.server.listen.ip().to_canonical().is_loopback(),
        isolation: driver.name(),
        metrics: metrics.render(),
        ..ApiOptions::default()
    }
}
