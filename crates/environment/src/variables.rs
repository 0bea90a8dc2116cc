//! The environment variables of a `provided.*` runtime.

use std::path::PathBuf;

use crate::spec::EnvironmentSpec;

/// What only a single environment knows.
pub(crate) struct Place<'a> {
    /// `host:port` of the Runtime API as code inside sees it.
    pub(crate) runtime_api: &'a str,
    pub(crate) log_stream: &'a str,
    /// Where a path of the sandbox is for code inside.
    pub(crate) inside: &'a dyn Fn(&str) -> PathBuf,
}

/// All variables: defaults, over them the user's, over them what Lambda reserves.
pub(crate) fn variables(spec: &EnvironmentSpec, place: &Place<'_>) -> Vec<(String, String)> {
    let inside = |path: &str| (place.inside)(path).to_string_lossy().into_owned();
    let libraries = [
        "/var/runtime",
        "/var/runtime/lib",
        "/var/task",
        "/var/task/lib",
        "/opt/lib",
    ];
    let libraries: Vec<String> = libraries.iter().map(|path| inside(path)).collect();
    let mut all: Vec<(String, String)> = Vec::with_capacity(32);
    let mut set = |name: &str, value: String| match all.iter_mut().find(|(key, _)| key == name) {
        Some((_, old)) => *old = value,
        None => all.push((name.into(), value)),
    };

    set("LANG", "en_US.UTF-8".into());
    set("TZ", ":UTC".into());
    set(
        "PATH",
        format!("/usr/local/bin:/usr/bin/:/bin:{}", inside("/opt/bin")),
    );
    set(
        "LD_LIBRARY_PATH",
        format!("/lib64:/usr/lib64:{}", libraries.join(":")),
    );
    set("AWS_LAMBDA_LOG_FORMAT", spec.log_format.name().into());
    if let Some(level) = spec.log_format.level_name() {
        set("AWS_LAMBDA_LOG_LEVEL", level.into());
    }
    // Only where code sees the host's files; Lambda sets no such variable.
    let tmp = inside("/tmp");
    if tmp != "/tmp" {
        set("TMPDIR", tmp);
    }

    for (name, value) in &spec.variables {
        set(name, value.clone());
    }

    let scope = &spec.function.scope;
    set("_HANDLER", spec.handler.clone());
    set("AWS_REGION", scope.region.as_str().into());
    set("AWS_DEFAULT_REGION", scope.region.as_str().into());
    set("AWS_LAMBDA_FUNCTION_NAME", spec.function.name.to_string());
    set("AWS_LAMBDA_FUNCTION_VERSION", spec.version.to_string());
    set(
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE",
        spec.memory_mb.to_string(),
    );
    set("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand".into());
    set("AWS_LAMBDA_LOG_GROUP_NAME", spec.log_group.clone());
    set("AWS_LAMBDA_LOG_STREAM_NAME", place.log_stream.into());
    // A placeholder: the key id names the account, as local clouds agree.
    set("AWS_ACCESS_KEY_ID", scope.account.to_string());
    set("AWS_SECRET_ACCESS_KEY", "test".into());
    set("AWS_SESSION_TOKEN", "test".into());
    set("AWS_LAMBDA_RUNTIME_API", place.runtime_api.into());
    set("LAMBDA_TASK_ROOT", inside("/var/task"));
    set("LAMBDA_RUNTIME_DIR", inside("/var/runtime"));
    all
}

/// The variables of an extension: the runtime's without those that only a runtime needs.
pub(crate) fn extension_variables(
    spec: &EnvironmentSpec,
    place: &Place<'_>,
) -> Vec<(String, String)> {
    const RUNTIME_ONLY: [&str; 8] = [
        "AWS_EXECUTION_ENV",
        "AWS_LAMBDA_LOG_GROUP_NAME",
        "AWS_LAMBDA_LOG_STREAM_NAME",
        "AWS_XRAY_CONTEXT_MISSING",
        "AWS_XRAY_DAEMON_ADDRESS",
        "LAMBDA_RUNTIME_DIR",
        "LAMBDA_TASK_ROOT",
        "AWS_LAMBDA_DOTNET_PREJIT",
    ];
    let mut all = variables(spec, place);
    all.retain(|(name, _)| !name.starts_with('_') && !RUNTIME_ONLY.contains(&&**name));
    all
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use bootlace_types::{FunctionArn, Scope};

    use super::*;
    use crate::log_format::LogFormat;

    fn made(user: &[(&str, &str)]) -> BTreeMap<String, String> {
        let pairs = user
            .iter()
            .map(|(name, value)| ((*name).into(), (*value).into()));
        let spec = EnvironmentSpec {
            function: FunctionArn::new(&Scope::default(), "f", None),
            version: "$LATEST".into(),
            handler: "function.handler".into(),
            memory_mb: 128,
            tmp_mb: 512,
            timeout: Duration::from_secs(3),
            variables: pairs.collect(),
            log_group: "/aws/lambda/f".into(),
            log_format: LogFormat::Text,
        };
        let inside = |path: &str| PathBuf::from(path);
        let place = Place {
            runtime_api: "127.0.0.1:9001",
            log_stream: "s",
            inside: &inside,
        };
        variables(&spec, &place).into_iter().collect()
    }

    #[test]
    fn a_provided_runtime_sees_what_aws_sets() {
        let want: BTreeMap<String, String> = [
            ("AWS_ACCESS_KEY_ID", "000000000000"),
            ("AWS_DEFAULT_REGION", "us-east-1"),
            ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "128"),
            ("AWS_LAMBDA_FUNCTION_NAME", "f"),
            ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST"),
            ("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand"),
            ("AWS_LAMBDA_LOG_FORMAT", "Text"),
            ("AWS_LAMBDA_LOG_GROUP_NAME", "/aws/lambda/f"),
            ("AWS_LAMBDA_LOG_STREAM_NAME", "s"),
            ("AWS_LAMBDA_RUNTIME_API", "127.0.0.1:9001"),
            ("AWS_REGION", "us-east-1"),
            ("AWS_SECRET_ACCESS_KEY", "test"),
            ("AWS_SESSION_TOKEN", "test"),
            ("LAMBDA_RUNTIME_DIR", "/var/runtime"),
            ("LAMBDA_TASK_ROOT", "/var/task"),
            ("LANG", "en_US.UTF-8"),
            (
                "LD_LIBRARY_PATH",
                "/lib64:/usr/lib64:/var/runtime:/var/runtime/lib:/var/task:/var/task/lib:/opt/lib",
            ),
            ("PATH", "/usr/local/bin:/usr/bin/:/bin:/opt/bin"),
            ("TZ", ":UTC"),
            ("_HANDLER", "function.handler"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
        assert_eq!(made(&[]), want);
    }

    #[test]
    fn users_override_defaults_but_not_what_is_reserved() {
        let all = made(&[
            ("TZ", "Europe/Rome"),
            ("AWS_REGION", "mars-1"),
            ("MY_VAR", "x"),
        ]);
        assert_eq!(all["TZ"], "Europe/Rome");
        assert_eq!(all["AWS_REGION"], "us-east-1");
        assert_eq!(all["MY_VAR"], "x");
    }
}
