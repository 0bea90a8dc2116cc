//! One keep-alive connection to a server, as a client of AWS would hold it.

use std::net::SocketAddr;

use anyhow::{Context, bail};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// Servers without authentication read the account and the region from it and ignore the rest.
const AUTHORIZATION: &str = "AWS4-HMAC-SHA256 \
    Credential=test/20261124/us-east-1/lambda/aws4_request, \
    SignedHeaders=host;x-amz-date, \
    Signature=e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

#[derive(Debug)]
pub(crate) struct Client {
    sender: SendRequest<Full<Bytes>>,
    host: String,
}

impl Client {
    pub(crate) async fn connect(address: SocketAddr) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        drive(connection);
        Ok(Self {
            sender,
            host: address.to_string(),
        })
    }

    pub(crate) async fn send(
        &mut self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> anyhow::Result<(StatusCode, Option<String>, Bytes)> {
        let (head, body) = self.exchange(method, path, body).await?.into_parts();
        let body = body.collect().await?.to_bytes();
        let error = head.headers.get("x-amz-function-error");
        let error = error.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
        Ok((head.status, error, body))
    }

    /// Posts an event and gives the body of the answer before it is there.
    pub(crate) async fn open(&mut self, path: &str, event: Bytes) -> anyhow::Result<Incoming> {
        let answer = self.exchange(Method::POST, path, event).await?;
        if answer.status() != StatusCode::OK {
            let (status, body) = (answer.status(), answer.into_body().collect().await?);
            bail!(
                "{path} answered {status}: {}",
                String::from_utf8_lossy(&body.to_bytes())
            );
        }
        Ok(answer.into_body())
    }

    async fn exchange(
        &mut self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> anyhow::Result<Response<Incoming>> {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("Host", &self.host)
            .header("Authorization", AUTHORIZATION)
            .header("X-Amz-Date", "20261124T000000Z")
            .header("Content-Type", "application/json")
            .body(Full::new(body))?;
        self.sender.ready().await?;
        Ok(self.sender.send_request(request).await?)
    }

    /// Invokes an echo function and insists on the echo.
    pub(crate) async fn invoke(&mut self, target: &Target, payload: &Bytes) -> anyhow::Result<()> {
        let (status, error, body) = self
            .send(Method::POST, &target.path, payload.clone())
            .await
            .context("invoke")?;
        if status != StatusCode::OK || error.is_some() || body != *payload {
            let body = String::from_utf8_lossy(&body[..body.len().min(500)]).into_owned();
            bail!(
                "{} answered {status} ({}): {body}",
                target.path,
                error.unwrap_or_default()
            );
        }
        Ok(())
    }
}

/// A function on a server.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(crate) address: SocketAddr,
    pub(crate) path: String,
}

impl Target {
    pub(crate) fn new(address: SocketAddr, function: &str) -> Self {
        Self {
            address,
            path: format!("/2015-03-31/functions/{function}/invocations"),
        }
    }
}

/// A JSON event of exactly that many bytes.
pub(crate) fn event(bytes: usize) -> Bytes {
    const AROUND: usize = r#"{"pad":""}"#.len();
    Bytes::from(format!(
        r#"{{"pad":"{}"}}"#,
        "x".repeat(bytes.saturating_sub(AROUND))
    ))
}

#[allow(
    clippy::disallowed_methods,
    reason = "the load client is not the server's to supervise"
)]
fn drive<F: Future + Send + 'static>(connection: F)
where
    F::Output: Send,
{
    tokio::spawn(connection);
}

#[cfg(test)]
mod tests {
    #[test]
    fn an_event_has_the_size_asked_for() {
        assert_eq!(super::event(100).len(), 100);
        assert_eq!(super::event(1 << 20).len(), 1 << 20);
    }
}
