//! What a subscriber asks for: every member is checked, and what is wrong with it is told.

use std::ops::RangeInclusive;
use std::time::Duration;

use bootlace_types::limits;
use http::Uri;
use http::uri::PathAndQuery;
use serde_json::Value;

use super::schema::Schema;
use crate::log::LogOrigin;

/// The port of the Runtime API.
const RESERVED_PORT: u16 = 9001;
/// The environment's own names for itself.
const HOSTS: [&str; 2] = ["sandbox.localdomain", "sandbox"];

/// Which of the two APIs was called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Api {
    Telemetry,
    Logs,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Subscription {
    pub(crate) schema: Schema,
    pub(crate) types: Types,
    /// As they were asked for.
    pub(crate) type_names: Vec<&'static str>,
    pub(super) buffering: Buffering,
    pub(super) destination: Destination,
}

/// What is subscribed to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Types {
    pub(super) platform: bool,
    function: bool,
    extension: bool,
}

impl Types {
    pub(super) fn has(self, origin: LogOrigin) -> bool {
        match origin {
            LogOrigin::Platform => self.platform,
            LogOrigin::Function => self.function,
            LogOrigin::Extension => self.extension,
        }
    }
}

/// When a delivery is due: whatever comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Buffering {
    pub(super) max_bytes: usize,
    pub(super) max_items: usize,
    pub(super) timeout: Duration,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Destination {
    Http {
        authority: String,
        port: u16,
        path: PathAndQuery,
    },
    Tcp {
        port: u16,
    },
}

impl Subscription {
    /// Reads the body of a subscription; the error is for its sender.
    pub(crate) fn parse(api: Api, body: &[u8]) -> Result<Self, String> {
        let body: Value = serde_json::from_slice(body)
            .map_err(|error| format!("failed to parse JSON: {error}"))?;
        if !body.is_object() {
            return Err("the body must be an object".into());
        }
        let schema = schema(api, &body["schemaVersion"])?;
        let (types, type_names) = types(&body["types"])?;
        Ok(Self {
            schema,
            types,
            type_names,
            buffering: buffering(&body["buffering"])?,
            destination: destination(&body["destination"])?,
        })
    }
}

fn schema(api: Api, value: &Value) -> Result<Schema, String> {
    let known = match (api, value.as_str()) {
        (Api::Telemetry, Some("2022-07-01")) => Ok(Schema::Telemetry202207),
        (Api::Telemetry, Some("2022-12-13")) => Ok(Schema::Telemetry202212),
        (Api::Telemetry, Some("2025-01-29")) => {
            return Err("schemaVersion: 2025-01-29 is for Lambda managed instances only".into());
        }
        (Api::Logs, Some("2020-08-15")) => Ok(Schema::Logs2020),
        (Api::Logs, Some("2021-03-18")) => Ok(Schema::Logs2021),
        (Api::Telemetry, _) => Err("2022-07-01, 2022-12-13"),
        (Api::Logs, _) => Err("2020-08-15, 2021-03-18"),
    };
    known.map_err(|versions| format!("schemaVersion: must be one of {versions}"))
}

fn types(value: &Value) -> Result<(Types, Vec<&'static str>), String> {
    let (mut types, mut names) = (Types::default(), Vec::new());
    let wrong = || "types: must be a list of some of platform, function, extension";
    let asked = value.as_array().filter(|asked| !asked.is_empty());
    for one in asked.ok_or_else(wrong)? {
        let (wanted, name) = match one.as_str() {
            Some("platform") => (&mut types.platform, "platform"),
            Some("function") => (&mut types.function, "function"),
            Some("extension") => (&mut types.extension, "extension"),
            _ => return Err(wrong().into()),
        };
        if !*wanted {
            names.push(name);
        }
        *wanted = true;
    }
    Ok((types, names))
}

fn buffering(value: &Value) -> Result<Buffering, String> {
    if !value.is_null() && !value.is_object() {
        return Err("buffering: must be an object".into());
    }
    let size = |name: &str, range: &RangeInclusive<usize>, default: usize| {
        let (least, most) = (*range.start() as u64, *range.end() as u64);
        let given = number(value, name, &(least..=most), default as u64)?;
        Ok::<_, String>(usize::try_from(given).unwrap_or(default))
    };
    let timeout_ms = number(
        value,
        "timeoutMs",
        &limits::TELEMETRY_TIMEOUT_MS,
        limits::TELEMETRY_DEFAULT_TIMEOUT_MS,
    )?;
    Ok(Buffering {
        max_bytes: size(
            "maxBytes",
            &limits::TELEMETRY_BYTES,
            limits::TELEMETRY_DEFAULT_BYTES,
        )?,
        max_items: size(
            "maxItems",
            &limits::TELEMETRY_ITEMS,
            limits::TELEMETRY_DEFAULT_ITEMS,
        )?,
        timeout: Duration::from_millis(timeout_ms),
    })
}

fn number(
    buffering: &Value,
    name: &str,
    range: &RangeInclusive<u64>,
    default: u64,
) -> Result<u64, String> {
    match &buffering[name] {
        Value::Null => Ok(default),
        value => {
            let number = value.as_u64().filter(|number| range.contains(number));
            number.ok_or_else(|| {
                let (least, most) = (range.start(), range.end());
                format!("buffering.{name}: must be an integer from {least} to {most}")
            })
        }
    }
}

fn destination(value: &Value) -> Result<Destination, String> {
    let destination = match value["protocol"].as_str() {
        Some("HTTP") => http(value["URI"].as_str().unwrap_or_default())?,
        Some("TCP") => {
            let port = value["port"]
                .as_u64()
                .and_then(|port| u16::try_from(port).ok());
            let port = port.filter(|port| *port > 0);
            let port = port.ok_or("destination.port: must be an integer from 1 to 65535")?;
            Destination::Tcp { port }
        }
        _ => return Err("destination.protocol: must be HTTP or TCP".into()),
    };
    let (Destination::Http { port, .. } | Destination::Tcp { port }) = &destination;
    if *port == RESERVED_PORT {
        return Err(format!("destination: port {RESERVED_PORT} is reserved"));
    }
    Ok(destination)
}

fn http(uri: &str) -> Result<Destination, String> {
    let wrong = || "destination.URI: must be like http://sandbox.localdomain:<port>/<path>";
    let uri: Uri = uri.parse().map_err(|_| wrong())?;
    let authority = uri.authority().ok_or_else(wrong)?;
    let is_own = HOSTS.contains(&authority.host()) && !authority.as_str().contains('@');
    if uri.scheme_str() != Some("http") || !is_own {
        return Err(wrong().into());
    }
    let port = match authority.as_str().strip_prefix(authority.host()) {
        None | Some("") => Some(80),
        Some(port) => port[1..].parse().ok().filter(|port| *port > 0),
    };
    let port = port.ok_or_else(wrong)?;
    let path = uri.path_and_query().cloned();
    Ok(Destination::Http {
        authority: authority.to_string(),
        port,
        path: path.unwrap_or_else(|| PathAndQuery::from_static("/")),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn body() -> Value {
        json!({
            "schemaVersion": "2022-12-13",
            "types": ["platform", "function", "platform"],
            "buffering": { "maxBytes": 300_000, "maxItems": 1_000, "timeoutMs": 25 },
            "destination": { "protocol": "HTTP", "URI": "http://sandbox.localdomain:8080/x?y=z" },
            "unknown": true
        })
    }

    /// What is wrong when one member is another value.
    #[track_caller]
    fn check(pointer: &str, value: Value, want: &str) {
        let mut body = body();
        *body.pointer_mut(pointer).unwrap() = value;
        let refused = Subscription::parse(Api::Telemetry, body.to_string().as_bytes());
        assert_eq!(refused.unwrap_err(), want);
    }

    #[test]
    fn every_member_is_read() {
        let read = Subscription::parse(Api::Telemetry, body().to_string().as_bytes()).unwrap();
        assert_eq!(read.schema, Schema::Telemetry202212);
        assert_eq!(read.type_names, ["platform", "function"]);
        assert!(read.types.has(LogOrigin::Function) && !read.types.has(LogOrigin::Extension));
        let want = Buffering {
            max_bytes: 300_000,
            max_items: 1_000,
            timeout: Duration::from_millis(25),
        };
        assert_eq!(read.buffering, want);
        let want = Destination::Http {
            authority: "sandbox.localdomain:8080".into(),
            port: 8080,
            path: PathAndQuery::from_static("/x?y=z"),
        };
        assert_eq!(read.destination, want);
    }

    #[test]
    fn defaults_are_awss() {
        let body = json!({
            "schemaVersion": "2021-03-18",
            "types": ["extension"],
            "destination": { "protocol": "TCP", "port": 1234 }
        });
        let read = Subscription::parse(Api::Logs, body.to_string().as_bytes()).unwrap();
        let want = Buffering {
            max_bytes: 262_144,
            max_items: 10_000,
            timeout: Duration::from_secs(1),
        };
        assert_eq!((read.schema, read.buffering), (Schema::Logs2021, want));
        assert_eq!(read.destination, Destination::Tcp { port: 1234 });
    }

    #[test]
    fn what_is_wrong_is_told() {
        let schemas = "schemaVersion: must be one of 2022-07-01, 2022-12-13";
        check("/schemaVersion", json!("2020-08-15"), schemas);
        check("/schemaVersion", json!(null), schemas);
        check(
            "/schemaVersion",
            json!("2025-01-29"),
            "schemaVersion: 2025-01-29 is for Lambda managed instances only",
        );
        let types = "types: must be a list of some of platform, function, extension";
        for value in [json!([]), json!("platform"), json!(["metrics"]), json!([7])] {
            check("/types", value, types);
        }
        check("/buffering", json!(7), "buffering: must be an object");
        let bytes = "buffering.maxBytes: must be an integer from 262144 to 1048576";
        for value in [json!(262_143), json!(1_048_577), json!("300000"), json!(-1)] {
            check("/buffering/maxBytes", value, bytes);
        }
        check(
            "/buffering/maxItems",
            json!(999),
            "buffering.maxItems: must be an integer from 1000 to 10000",
        );
        check(
            "/buffering/timeoutMs",
            json!(30_000.5),
            "buffering.timeoutMs: must be an integer from 25 to 30000",
        );
        let protocol = "destination.protocol: must be HTTP or TCP";
        check("/destination/protocol", json!("UDP"), protocol);
        check("/destination", json!(null), protocol);
        let uri = "destination.URI: must be like http://sandbox.localdomain:<port>/<path>";
        for value in [
            "",
            "https://sandbox:1/",
            "http://127.0.0.1:8080/",
            "http://sandbox@sandbox:80",
            "http://sandbox:0/",
            "http://sandbox:99999/",
            "/x",
        ] {
            check("/destination/URI", json!(value), uri);
        }
        let reserved = "destination: port 9001 is reserved";
        check("/destination/URI", json!("http://sandbox:9001"), reserved);
        check(
            "/destination",
            json!({"protocol": "TCP", "port": 9001}),
            reserved,
        );
        check(
            "/destination",
            json!({"protocol": "TCP", "port": 65_536}),
            "destination.port: must be an integer from 1 to 65535",
        );
        let parse = |body: &[u8]| Subscription::parse(Api::Logs, body).unwrap_err();
        assert!(parse(b"{").starts_with("failed to parse JSON: "));
        assert_eq!(parse(b"[]"), "the body must be an object");
    }
}
