//! `bootlace logs`: what a function logged, and what it goes on to log.

use std::collections::BTreeMap;
use std::time::Duration;

use bootlace_types::clock;
use bytes::Bytes;
use chrono::{DateTime, SecondsFormat, Utc};
use clap::Args;
use http::Method;
use serde_json::{Value, json};

use super::layer::member;
use crate::client::{Client, Connection, encode};
use crate::exit::{Done, Failure};
use crate::output::{self, Format};

/// How often a follower asks for more.
const ASK_AGAIN: Duration = Duration::from_millis(500);
/// Events may come out of order by so much; they are asked for again, and told once.
const OVERLAP_MS: u64 = 2_000;

#[derive(Debug, Args)]
pub(crate) struct Logs {
    /// Name or ARN of the function
    name: String,
    /// Go on with what is logged later, until interrupted
    #[arg(long, short)]
    follow: bool,
    /// How far back to begin: 30s, 10m, 2h, 1d
    #[arg(long, value_name = "TIME", default_value = "10m", value_parser = duration)]
    since: Duration,
    /// Only events that match a CloudWatch filter pattern
    #[arg(long, value_name = "PATTERN")]
    filter: Option<String>,
    /// With the stream, which tells the environment, how long each event took to be stored, and the
    /// share of the processor in a REPORT
    #[arg(long, short)]
    verbose: bool,
    /// How to print events; json is one document a line
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    output: Format,
    #[command(flatten)]
    connection: Connection,
}

/// Where a function logs to.
struct Place {
    group: String,
    /// What its streams have in their names, where others share the group.
    mark: Option<String>,
}

impl Logs {
    pub(crate) async fn run(self) -> Result<Done, Failure> {
        let client = self.connection.client()?;
        let place = place(&client, &self.name).await?;
        let since = u64::try_from(self.since.as_millis()).unwrap_or(u64::MAX);
        let mut from_ms = clock::epoch_ms(clock::wall()).saturating_sub(since);
        // Those that may come again, with their times.
        let mut told: BTreeMap<String, u64> = BTreeMap::new();
        loop {
            let mut request = json!({ "logGroupName": place.group, "startTime": from_ms });
            if let Some(pattern) = &self.filter {
                request["filterPattern"] = pattern.as_str().into();
            }
            loop {
                let page = filter(&client, &request).await?;
                let events = page["events"].as_array().map(Vec::as_slice);
                let shares = self.shares(&client, events.unwrap_or_default()).await?;
                for event in events.unwrap_or_default() {
                    let time = event["timestamp"].as_u64().unwrap_or(0);
                    from_ms = from_ms.max(time.saturating_sub(OVERLAP_MS));
                    if !place.has(event)
                        || told
                            .insert(member(event, "eventId").to_owned(), time)
                            .is_some()
                    {
                        continue;
                    }
                    if !self.print(event, &shares)? {
                        return Ok(Done::Well);
                    }
                }
                match page["nextToken"].as_str() {
                    Some(token) => request["nextToken"] = token.into(),
                    None => break,
                }
            }
            if !self.follow {
                return Ok(Done::Well);
            }
            told.retain(|_, time| *time >= from_ms);
            tokio::time::sleep(ASK_AGAIN).await;
        }
    }

    /// Gives false when nobody reads any more.
    fn print(&self, event: &Value, shares: &Shares) -> Result<bool, Failure> {
        let line = match self.output {
            Format::Json => format!("{event}\n"),
            Format::Text => self.text(event, shares),
        };
        Ok(output::data_if_read(line.as_bytes())?)
    }

    /// As `aws logs tail` prints: `short`, or `detailed` when verbose.
    fn text(&self, event: &Value, shares: &Shares) -> String {
        let time = event["timestamp"].as_u64().unwrap_or(0);
        let message = member(event, "message").trim_end();
        if !self.verbose {
            return format!("{} {message}\n", date(time, SecondsFormat::Secs));
        }
        let stored = event["ingestionTime"].as_u64().unwrap_or(time);
        let stream = member(event, "logStreamName");
        let share = shares.get(stream).filter(|_| is_report(event));
        let share = share.map(|share| format!("\tCPU Share: {share} mCPU"));
        format!(
            "{} {stream} +{}ms {message}{}\n",
            date(time, SecondsFormat::Millis),
            stored.saturating_sub(time),
            share.unwrap_or_default()
        )
    }

    /// What the environments that reported may use of a processor, where that is limited; those
    /// that are gone are not told any more.
    async fn shares(&self, client: &Client, events: &[Value]) -> Result<Shares, Failure> {
        if !self.verbose || !events.iter().any(is_report) {
            return Ok(Shares::new());
        }
        let path = "/bootlace/v1/environments";
        let answer = client.json(Method::GET, path, None).await?;
        let environments = answer["environments"].as_array();
        let share = |environment: &Value| {
            let share = environment["cpu_share_mcpu"].as_u64()?;
            Some((member(environment, "log_stream").to_owned(), share))
        };
        Ok(environments
            .into_iter()
            .flatten()
            .filter_map(share)
            .collect())
    }
}

/// Thousandths of a processor, by log stream.
type Shares = BTreeMap<String, u64>;

/// In either log format.
fn is_report(event: &Value) -> bool {
    let message = member(event, "message");
    let is_record = || {
        let record = serde_json::from_str::<Value>(message);
        record.is_ok_and(|record| record["type"] == "platform.report")
    };
    message.starts_with("REPORT RequestId: ") || (message.starts_with('{') && is_record())
}

impl Place {
    fn has(&self, event: &Value) -> bool {
        let mark = self.mark.as_ref();
        mark.is_none_or(|mark| member(event, "logStreamName").contains(mark.as_str()))
    }
}

/// The logs of a function that was deleted are still there under its name.
async fn place(client: &Client, name: &str) -> Result<Place, Failure> {
    let path = format!("/2015-03-31/functions/{}/configuration", encode(name));
    let configuration = match client.json(Method::GET, &path, None).await {
        Ok(configuration) => configuration,
        Err(Failure::Refused { kind, message }) if kind == "ResourceNotFoundException" => {
            let group = format!("/aws/lambda/{name}");
            let request = json!({ "logGroupNamePrefix": group });
            let groups = call(client, "DescribeLogGroups", &request).await?;
            let groups = groups["logGroups"].as_array().cloned().unwrap_or_default();
            if !groups
                .iter()
                .any(|found| member(found, "logGroupName") == group)
            {
                return Err(Failure::Refused { kind, message });
            }
            return Ok(Place { group, mark: None });
        }
        Err(failure) => return Err(failure),
    };
    let name = member(&configuration, "FunctionName");
    let own = format!("/aws/lambda/{name}");
    let group = member(&configuration["LoggingConfig"], "LogGroup");
    Ok(match group {
        group if group.is_empty() || group == own => Place {
            group: own,
            mark: None,
        },
        shared => Place {
            group: shared.to_owned(),
            mark: Some(format!("/{name}[")),
        },
    })
}

/// One page of events. A function that never ran has no group, and no events.
async fn filter(client: &Client, request: &Value) -> Result<Value, Failure> {
    match call(client, "FilterLogEvents", request).await {
        Err(Failure::Refused { kind, .. }) if kind == "ResourceNotFoundException" => {
            Ok(Value::Null)
        }
        answer => answer,
    }
}

async fn call(client: &Client, operation: &str, request: &Value) -> Result<Value, Failure> {
    let headers = [
        ("x-amz-target", format!("Logs_20140328.{operation}")),
        ("content-type", "application/x-amz-json-1.1".to_owned()),
    ];
    let body = Bytes::from(request.to_string());
    let answer = client.call(Method::POST, "/", &headers, body).await?;
    answer.document()
}

fn date(time_ms: u64, format: SecondsFormat) -> String {
    let time = i64::try_from(time_ms)
        .ok()
        .and_then(DateTime::<Utc>::from_timestamp_millis);
    time.unwrap_or_default().to_rfc3339_opts(format, true)
}

/// `30s`, `10m`, `2h`, `1d`
fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is none of 30s, 10m, 2h, 1d and the like");
    let unit = match text.chars().last() {
        Some('s') => 1,
        Some('m') => 60,
        Some('h') => 3_600,
        Some('d') => 86_400,
        _ => return Err(wrong()),
    };
    let count: u64 = text[..text.len() - 1].parse().map_err(|_| wrong())?;
    let seconds = count.checked_mul(unit).ok_or_else(wrong)?;
    Ok(Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_units() {
        assert_eq!(duration("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("10m"), Ok(Duration::from_secs(600)));
        assert_eq!(duration("1d"), Ok(Duration::from_secs(86_400)));
        for bad in ["", "10", "m", "-1m", "1w", "99999999999999999999d", "1ä"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }
}
