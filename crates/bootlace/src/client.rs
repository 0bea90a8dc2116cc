//! A small HTTP client for the verbs: plain HTTP/1.1 to a Bootlace server, nothing else.
//!
//! It signs nothing: the `Authorization` header carries only the credential scope, by which the
//! server knows account and region.

use std::time::Duration;

use anyhow::{Context, anyhow};
use bootlace_tasks::TaskKind;
use bootlace_types::{Region, clock};
use bytes::Bytes;
use clap::Args;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use tokio::net::TcpStream;

use crate::exit::Failure;

const CONNECTION: TaskKind = TaskKind::disposable("client-connection");
const CONNECT: Duration = Duration::from_secs(5);
/// The longest wait for an answer: Lambda's longest timeout, and room for a cold start before it.
const ANSWER: Duration = Duration::from_secs(15 * 60 + 60);

pub(crate) const DEFAULT_ENDPOINT: &str = "http://127.0.0.1:4574";
const DEFAULT_REGION: &str = "us-east-1";
const DEFAULT_KEY: &str = "test";

/// The options of every verb that speaks to a server.
#[derive(Debug, Clone, Args)]
pub(crate) struct Connection {
    /// The server [default: AWS_ENDPOINT_URL_LAMBDA, AWS_ENDPOINT_URL or http://127.0.0.1:4574]
    #[arg(long, value_name = "URL", global = true)]
    endpoint_url: Option<String>,
    /// The region [default: AWS_REGION, AWS_DEFAULT_REGION or us-east-1]
    #[arg(long, value_name = "NAME", global = true)]
    region: Option<String>,
}

/// One server, one account, one region.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    /// `host:port`
    authority: String,
    region: String,
    access_key_id: String,
}

/// A whole answer of the server, of any status.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Connection {
    pub(crate) fn client(&self) -> Result<Client, Failure> {
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let first = |names: &[&str]| names.iter().find_map(|name| variable(name));
        let endpoint = self
            .endpoint_url
            .clone()
            .or_else(|| first(&["AWS_ENDPOINT_URL_LAMBDA", "AWS_ENDPOINT_URL"]));
        let region = self
            .region
            .clone()
            .or_else(|| first(&["AWS_REGION", "AWS_DEFAULT_REGION"]));
        Client::new(
            endpoint.as_deref().unwrap_or(DEFAULT_ENDPOINT),
            region.as_deref().unwrap_or(DEFAULT_REGION),
            first(&["AWS_ACCESS_KEY_ID"])
                .as_deref()
                .unwrap_or(DEFAULT_KEY),
        )
    }
}

impl Client {
    pub(crate) fn new(endpoint: &str, region: &str, access_key_id: &str) -> Result<Self, Failure> {
        let wrong = |why: &str| Failure::usage(format!("the endpoint {endpoint:?} {why}"));
        let uri: Uri = endpoint.parse().map_err(|_| wrong("is no URL"))?;
        if uri.scheme_str() != Some("http") {
            return Err(wrong(
                "is no http:// address; this program speaks to Bootlace servers only",
            ));
        }
        if uri.path() != "/" || uri.query().is_some() {
            return Err(wrong("has a path; only http://HOST:PORT is expected"));
        }
        let authority = uri.authority().map_or("", |authority| authority.as_str());
        let host = uri.host().ok_or_else(|| wrong("names no host"))?;
        // The library takes a port that is none for no port.
        let port: u16 = match authority.rsplit_once(host).map(|(_, after)| after) {
            None | Some("") => 80,
            Some(after) => {
                let port = after.strip_prefix(':').and_then(|port| port.parse().ok());
                port.ok_or_else(|| wrong("has no port from 0 to 65535"))?
            }
        };
        // A mistyped region must not be another one.
        if region.parse::<Region>().is_err() {
            return Err(Failure::usage(format!("{region:?} is no region")));
        }
        if !access_key_id.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(Failure::usage(format!(
                "AWS_ACCESS_KEY_ID: {access_key_id:?} is no access key id"
            )));
        }
        Ok(Self {
            authority: format!("{host}:{port}"),
            region: region.to_owned(),
            access_key_id: access_key_id.to_owned(),
        })
    }

    /// Sends one request; an answer with an error status is a [`Failure::Refused`].
    pub(crate) async fn call(
        &self,
        method: Method,
        path: &str,
        headers: &[(&'static str, String)],
        body: Bytes,
    ) -> Result<Answer, Failure> {
        let request = self.request(method, path, headers, body)?;
        let answer = async { self.whole(self.exchange(request).await?).await };
        let answer = self.in_time(answer).await?;
        // What is neither is not Bootlace's, a redirection say, and is no success either.
        if !answer.status.is_success() {
            return Err(answer.refusal());
        }
        Ok(answer)
    }

    /// The same, for an answer that is read as it comes.
    pub(crate) async fn stream(
        &self,
        method: Method,
        path: &str,
        headers: &[(&'static str, String)],
        body: Bytes,
    ) -> Result<Incoming, Failure> {
        let request = self.request(method, path, headers, body)?;
        let response = self.in_time(self.exchange(request)).await?;
        if response.status().is_success() {
            return Ok(response.into_body());
        }
        Err(self.in_time(self.whole(response)).await?.refusal())
    }

    async fn in_time<T>(
        &self,
        answer: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        let answer = tokio::time::timeout(ANSWER, answer).await;
        answer.map_err(|_| {
            anyhow!(
                "no answer from {} in {} s",
                self.authority,
                ANSWER.as_secs()
            )
        })?
    }

    /// Sends JSON (or nothing) and reads JSON (or nothing, which is null).
    pub(crate) async fn json(
        &self,
        method: Method,
        path: &str,
        document: Option<&Value>,
    ) -> Result<Value, Failure> {
        let body = document
            .map(|document| Bytes::from(document.to_string()))
            .unwrap_or_default();
        let headers = [("content-type", "application/json".to_owned())];
        let headers = if document.is_some() {
            &headers[..]
        } else {
            &[]
        };
        self.call(method, path, headers, body).await?.document()
    }

    /// All items of a paged list.
    pub(crate) async fn list(&self, path: &str, member: &str) -> Result<Vec<Value>, Failure> {
        let mut items = Vec::new();
        let mut marker: Option<String> = None;
        loop {
            let page = match &marker {
                Some(marker) => format!("{path}?Marker={}", encode(marker)),
                None => path.to_owned(),
            };
            let mut page = self.json(Method::GET, &page, None).await?;
            if let Some(Value::Array(more)) = page.get_mut(member).map(Value::take) {
                items.extend(more);
            }
            let next = page["NextMarker"].as_str().filter(|next| !next.is_empty());
            match next.map(str::to_owned) {
                Some(next) if marker.as_ref() != Some(&next) => marker = Some(next),
                _ => return Ok(items),
            }
        }
    }

    fn request(
        &self,
        method: Method,
        path: &str,
        headers: &[(&'static str, String)],
        body: Bytes,
    ) -> Result<Request<Full<Bytes>>, Failure> {
        let date = chrono::DateTime::<chrono::Utc>::from(clock::wall()).format("%Y%m%d");
        let scope = format!(
            "AWS4-HMAC-SHA256 Credential={}/{date}/{}/lambda/aws4_request, SignedHeaders=host, Signature=unsigned",
            self.access_key_id, self.region
        );
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, &self.authority)
            .header(
                header::USER_AGENT,
                concat!("bootlace/", env!("CARGO_PKG_VERSION")),
            )
            .header(header::AUTHORIZATION, scope);
        for (name, value) in headers {
            let value = HeaderValue::from_str(value).map_err(|_| {
                Failure::usage(format!("{name}: {value:?} cannot be sent in a header"))
            })?;
            request = request.header(*name, value);
        }
        Ok(request
            .body(Full::new(body))
            .context("the request cannot be written")?)
    }

    fn lost(&self, error: &dyn std::fmt::Display) -> Failure {
        Failure::Unreachable(format!(
            "no server answers at http://{}: {error}",
            self.authority
        ))
    }

    async fn exchange(&self, request: Request<Full<Bytes>>) -> Result<Response<Incoming>, Failure> {
        let stream = tokio::time::timeout(CONNECT, TcpStream::connect(&self.authority))
            .await
            .map_err(|error| self.lost(&error))?
            .map_err(|error| self.lost(&error))?;
        stream
            .set_nodelay(true)
            .context("cannot prepare the connection")?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| self.lost(&error))?;
        bootlace_tasks::spawn(CONNECTION, async move {
            // Its error is also the request's, which tells it.
            let _ = connection.await;
        });
        let response = sender.send_request(request).await;
        response.map_err(|error| self.lost(&error))
    }

    async fn whole(&self, response: Response<Incoming>) -> Result<Answer, Failure> {
        let (parts, body) = response.into_parts();
        let body = body.collect().await.map_err(|error| self.lost(&error))?;
        Ok(Answer {
            status: parts.status,
            headers: parts.headers,
            body: body.to_bytes(),
        })
    }
}

impl Answer {
    /// As JSON; nothing is null.
    pub(crate) fn document(&self) -> Result<Value, Failure> {
        if self.body.is_empty() {
            return Ok(Value::Null);
        }
        Ok(serde_json::from_slice(&self.body).context("the server's answer is no JSON")?)
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// AWS's error, from the header and either spelling of the message.
    fn refusal(&self) -> Failure {
        let document: Value = serde_json::from_slice(&self.body).unwrap_or_default();
        let member = |names: &[&str]| {
            names
                .iter()
                .find_map(|name| document[name].as_str())
                .map(str::to_owned)
        };
        let kind = self
            .header("x-amzn-errortype")
            .map(|kind| kind.split([':', '#']).next().unwrap_or(kind).to_owned())
            .or_else(|| member(&["__type", "code"]))
            .unwrap_or_else(|| self.status.to_string());
        let message = member(&["message", "Message"])
            .unwrap_or_else(|| String::from_utf8_lossy(&self.body).trim().to_owned());
        Failure::Refused { kind, message }
    }
}

/// One segment of a path or one value of a query, percent-encoded.
pub(crate) fn encode(text: &str) -> String {
    const KEPT: &AsciiSet = &NON_ALPHANUMERIC
        .remove(b'-')
        .remove(b'_')
        .remove(b'.')
        .remove(b'~');
    utf8_percent_encode(text, KEPT).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_http_to_a_host_is_an_endpoint() {
        assert_eq!(
            Client::new("http://[::1]:9", "us-east-1", "k")
                .expect("valid")
                .authority,
            "[::1]:9"
        );
        assert_eq!(
            Client::new("http://h", "us-east-1", "k")
                .expect("valid")
                .authority,
            "h:80"
        );
        for bad in [
            "https://lambda.us-east-1.amazonaws.com",
            "h:80",
            "",
            "http://h/x",
            "ftp://h",
            "http://h:99999",
            "http://h:",
        ] {
            assert!(
                matches!(Client::new(bad, "us-east-1", "k"), Err(Failure::Usage(_))),
                "{bad}"
            );
        }
    }

    #[test]
    fn a_mistyped_region_or_key_is_told() {
        for (region, key) in [("eu-west1", "k"), ("", "k"), ("us-east-1", "a\nb")] {
            let client = Client::new("http://h", region, key);
            assert!(matches!(client, Err(Failure::Usage(_))), "{region} {key:?}");
        }
    }

    #[test]
    fn a_refusal_is_type_and_message() {
        let mut headers = HeaderMap::new();
        headers.insert(
            "x-amzn-errortype",
            HeaderValue::from_static("ResourceNotFoundException:"),
        );
        let body = Bytes::from_static(br#"{"Type":"User","Message":"Function not found: f"}"#);
        let answer = Answer {
            status: StatusCode::NOT_FOUND,
            headers,
            body,
        };
        let text = answer.refusal().to_string();
        assert_eq!(text, "ResourceNotFoundException: Function not found: f");
    }
}
