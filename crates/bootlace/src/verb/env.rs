//! `bootlace env`: what points AWS tools at this server.

use std::net::{IpAddr, SocketAddr};
use std::process::{Command, Stdio};

use bootlace_types::Region;
use clap::Args;

use crate::config::ConfigOptions;
use crate::exit::{Done, Failure};
use crate::output;

#[derive(Debug, Args)]
pub(crate) struct Env {
    #[command(flatten)]
    options: ConfigOptions,
    /// The server [default: where `bootlace serve` with the same options listens]
    #[arg(long, value_name = "URL")]
    endpoint_url: Option<String>,
    /// A 12-digit access key id is that account; any other is 000000000000
    #[arg(long, value_name = "ID", default_value = "test")]
    access_key_id: String,
}

impl Env {
    pub(crate) fn run(self) -> Result<Done, Failure> {
        let config = self.options.load()?.config;
        let endpoint = match self.endpoint_url {
            Some(url) => url,
            None => endpoint_of(config.server.listen)?,
        };
        output::data(exports(&endpoint, &self.access_key_id, &config.server.region).as_bytes())?;
        if let Some(warning) = installed_aws_cli().as_deref().and_then(too_old) {
            output::note(warning);
        }
        Ok(Done::Well)
    }
}

fn endpoint_of(listen: SocketAddr) -> Result<String, Failure> {
    if listen.port() == 0 {
        return Err(Failure::usage(
            "the port is chosen at start; give --endpoint-url with the address that `serve` printed",
        ));
    }
    let host = match listen.ip() {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => format!("[{address}]"),
    };
    Ok(format!("http://{host}:{}", listen.port()))
}

fn exports(endpoint: &str, access_key_id: &str, region: &Region) -> String {
    let pairs = [
        ("AWS_ENDPOINT_URL", endpoint),
        ("AWS_ACCESS_KEY_ID", access_key_id),
        ("AWS_SECRET_ACCESS_KEY", "test"),
        ("AWS_DEFAULT_REGION", region.as_str()),
        ("AWS_REGION", region.as_str()),
    ];
    pairs
        .iter()
        .map(|(name, value)| format!("export {name}={}\n", quoted(value)))
        .collect()
}

/// For a POSIX shell: nothing inside single quotes has a meaning.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// The first line of `aws --version`, from wherever it prints it.
#[allow(
    clippy::disallowed_methods,
    reason = "the command line may ask an installed tool"
)]
fn installed_aws_cli() -> Option<String> {
    let output = Command::new("aws")
        .arg("--version")
        .stdin(Stdio::null())
        .output()
        .ok()?;
    let text = [output.stdout, output.stderr].concat();
    Some(String::from_utf8_lossy(&text).lines().next()?.to_owned())
}

/// `aws-cli/1.29.0` and `aws-cli/2.13.0` are the first that read `AWS_ENDPOINT_URL`.
fn too_old(version: &str) -> Option<String> {
    let numbers = version.strip_prefix("aws-cli/")?.split(' ').next()?;
    let mut parts = numbers
        .split('.')
        .map_while(|part| part.parse::<u32>().ok());
    let (major, minor) = (parts.next()?, parts.next()?);
    let first = match major {
        0 => return Some(warning(numbers)),
        1 => 29,
        2 => 13,
        _ => 0,
    };
    (minor < first).then(|| warning(numbers))
}

fn warning(version: &str) -> String {
    format!(
        "bootlace: warning: the aws command on PATH is version {version}, which ignores AWS_ENDPOINT_URL and \
         would call the real cloud; use 1.29 or 2.13 or newer, or give --endpoint-url with every command"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exports_are_safe_to_evaluate() {
        let region = Region::default();
        let text = exports("http://127.0.0.1:4574", "it's", &region);
        assert_eq!(
            text,
            "export AWS_ENDPOINT_URL='http://127.0.0.1:4574'\n\
             export AWS_ACCESS_KEY_ID='it'\\''s'\n\
             export AWS_SECRET_ACCESS_KEY='test'\n\
             export AWS_DEFAULT_REGION='us-east-1'\n\
             export AWS_REGION='us-east-1'\n"
        );
    }

    #[test]
    fn an_aws_that_would_call_the_real_cloud_is_named() {
        for old in [
            "aws-cli/2.9.19 Python/3.11.2",
            "aws-cli/1.28.9 Python/3",
            "aws-cli/1.16.0",
        ] {
            assert!(too_old(old).is_some(), "{old}");
        }
        for new in [
            "aws-cli/2.13.0 Python/3",
            "aws-cli/1.29.0 x",
            "aws-cli/1.46.1",
            "aws-cli/3.0.0",
            "other",
        ] {
            assert!(too_old(new).is_none(), "{new}");
        }
    }
}
