use std::fmt;

use bootlace_types::limits;
use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt as _, Empty};
use hyper::StatusCode;
use hyper::body::{Body as _, Incoming};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use rusty_s3::actions::{GetObject, S3Action as _};
use rusty_s3::{Bucket, Credentials, UrlStyle};

use crate::ControlError;

/// An S3 service that holds code, spoken to over plain HTTP with signed addresses.
#[derive(Clone)]
pub struct S3Endpoint {
    /// `http://host:port`
    pub url: String,
    pub region: String,
    pub access_key_id: String,
    pub secret_access_key: String,
    /// Bucket names in the path rather than in the host name.
    pub path_style: bool,
}

impl fmt::Debug for S3Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("S3Endpoint")
            .field("url", &self.url)
            .field("region", &self.region)
            .finish_non_exhaustive()
    }
}

impl S3Endpoint {
    /// Gets one object, whole.
    pub(crate) async fn fetch(
        &self,
        bucket: &str,
        key: &str,
        version: Option<&str>,
    ) -> Result<Bytes, ControlError> {
        let url = self.signed(bucket, key, version)?;
        tokio::time::timeout(limits::S3_FETCH, get(&url))
            .await
            .unwrap_or_else(|_| {
                Err(unreachable(&format!(
                    "no whole answer within {:?}",
                    limits::S3_FETCH
                )))
            })
    }

    fn signed(
        &self,
        bucket: &str,
        key: &str,
        version: Option<&str>,
    ) -> Result<String, ControlError> {
        if self.url.starts_with("https:") {
            return Err(ControlError::NotBuilt("An S3 endpoint over https"));
        }
        let wrong = |why: &dyn fmt::Display| {
            ControlError::InvalidParameter(format!(
                "The S3 endpoint in Bootlace's configuration cannot be used: {why}"
            ))
        };
        let style = if self.path_style {
            UrlStyle::Path
        } else {
            UrlStyle::VirtualHost
        };
        let endpoint = self.url.parse().map_err(|error| wrong(&error))?;
        let bucket = Bucket::new(endpoint, style, bucket.to_owned(), self.region.clone())
            .map_err(|error| wrong(&error))?;
        let credentials = Credentials::new(&self.access_key_id, &self.secret_access_key);
        let mut action = GetObject::new(&bucket, Some(&credentials), key);
        if let Some(version) = version {
            action.query_mut().insert("versionId", version);
        }
        Ok(action.sign(limits::DOWNLOAD).to_string())
    }
}

async fn get(url: &str) -> Result<Bytes, ControlError> {
    let client: Client<_, Empty<Bytes>> = Client::builder(TokioExecutor::new()).build_http();
    let uri = url.parse().map_err(|error| unreachable(&error))?;
    let answer = client.get(uri).await.map_err(|error| unreachable(&error))?;
    let status = answer.status();
    if status == StatusCode::OK {
        return read(answer.into_body(), limits::ZIP_S3_BYTES).await;
    }
    let document = read(answer.into_body(), ERROR_DOCUMENT_BYTES)
        .await
        .unwrap_or_default();
    Err(refused(status, &String::from_utf8_lossy(&document)))
}

/// Size of an S3 error document, bytes; they are a few hundred.
const ERROR_DOCUMENT_BYTES: u64 = 64 * 1024;

async fn read(mut body: Incoming, limit: u64) -> Result<Bytes, ControlError> {
    let too_large = || {
        ControlError::InvalidParameter(format!(
            "Error occurred while GetObject. The object is larger than {limit} bytes"
        ))
    };
    if body.size_hint().lower() > limit {
        return Err(too_large());
    }
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let mut bytes = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| unreachable(&error))?;
        if let Some(data) = frame.data_ref() {
            if bytes.len() + data.len() > limit {
                return Err(too_large());
            }
            bytes.extend_from_slice(data);
        }
    }
    Ok(bytes.freeze())
}

fn unreachable(why: &dyn fmt::Display) -> ControlError {
    ControlError::InvalidParameter(format!(
        "Error occurred while GetObject. The S3 endpoint in Bootlace's configuration did not \
         answer: {why}"
    ))
}

/// S3's own code and message, in AWS's frame.
fn refused(status: StatusCode, document: &str) -> ControlError {
    let code = element(document, "Code").unwrap_or_else(|| status.as_str().to_owned());
    let message = element(document, "Message").unwrap_or_else(|| match code.as_str() {
        "404" => "The specified key does not exist.".to_owned(),
        _ => status
            .canonical_reason()
            .unwrap_or("The object cannot be read")
            .to_owned(),
    });
    ControlError::InvalidParameter(format!(
        "Error occurred while GetObject. S3 Error Code: {code}. S3 Error Message: {message}"
    ))
}

/// The text of the first element of that name; error documents are flat.
fn element(document: &str, name: &str) -> Option<String> {
    let (_, rest) = document.split_once(&format!("<{name}>"))?;
    let (text, _) = rest.split_once(&format!("</{name}>"))?;
    let plain: String = text.chars().filter(|c| !c.is_control()).take(512).collect();
    (!plain.is_empty()).then_some(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s3_errors_are_worded_as_aws_words_them() {
        let document = "<?xml version=\"1.0\"?><Error><Code>NoSuchBucket</Code>\
                        <Message>The specified bucket does not exist</Message></Error>";
        assert_eq!(
            refused(StatusCode::NOT_FOUND, document).to_string(),
            "Error occurred while GetObject. S3 Error Code: NoSuchBucket. S3 Error Message: The \
             specified bucket does not exist"
        );
        assert_eq!(
            refused(StatusCode::FORBIDDEN, "").to_string(),
            "Error occurred while GetObject. S3 Error Code: 403. S3 Error Message: Forbidden"
        );
    }

    #[test]
    fn an_endpoint_over_tls_is_refused_by_name() {
        let endpoint = S3Endpoint {
            url: "https://s3.amazonaws.com".into(),
            region: "us-east-1".into(),
            access_key_id: "k".into(),
            secret_access_key: "s".into(),
            path_style: true,
        };
        let error = endpoint.signed("b", "k", None).unwrap_err();
        assert_eq!(
            error.to_string(),
            "An S3 endpoint over https is not built yet in Bootlace"
        );
    }
}
