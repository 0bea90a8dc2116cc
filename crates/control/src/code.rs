use bootlace_store::record::CodeRef;
use bootlace_types::limits;
use bytes::Bytes;

use crate::{CodeSource, ControlError, ControlPlane, S3Object};

/// Exactly one source of code.
#[derive(Debug)]
pub(crate) enum Source {
    Zip(Bytes),
    S3 {
        bucket: String,
        key: String,
        version: Option<String>,
    },
}

impl Source {
    /// Refuses no source, several, and those that are not built. `what` is what the code is for.
    pub(crate) fn choose(source: CodeSource, what: &str) -> Result<Self, ControlError> {
        let refuse = |text: String| Err(ControlError::InvalidParameter(text));
        if source.image_uri.is_some() {
            return Err(ControlError::NotBuilt(
                "ImageUri (functions from container images)",
            ));
        }
        if source.source_kms_key_arn.is_some_and(|arn| !arn.is_empty()) {
            return Err(ControlError::NotBuilt("SourceKMSKeyArn (encrypted code)"));
        }
        let S3Object {
            bucket,
            key,
            version,
            storage_mode,
        } = source.s3;
        if storage_mode.as_deref() == Some("REFERENCE") {
            return Err(ControlError::NotBuilt("S3ObjectStorageMode REFERENCE"));
        }
        match (source.zip_file, bucket, key) {
            (Some(zip), None, None) if version.is_none() => Ok(Self::Zip(zip)),
            (Some(_), ..) => refuse(
                "Please do not provide other FunctionCode parameters when providing a ZipFile."
                    .into(),
            ),
            (None, Some(bucket), Some(key)) => Ok(Self::S3 {
                bucket,
                key,
                version,
            }),
            (None, None, None) => refuse(format!("Please provide a source for {what}.")),
            _ => refuse("Please provide both S3Bucket and S3Key.".into()),
        }
    }
}

impl ControlPlane {
    /// Fetches code if need be, checks it, and makes it durable.
    pub(crate) async fn ingest(
        &self,
        source: Source,
        max_unzipped: u64,
    ) -> Result<CodeRef, ControlError> {
        let zip = match source {
            Source::Zip(zip) => zip,
            Source::S3 {
                bucket,
                key,
                version,
            } => {
                let Some(endpoint) = &self.options.s3 else {
                    return Err(ControlError::InvalidParameter(
                        "S3Bucket and S3Key need an S3 endpoint in Bootlace's configuration, and \
                         none is named there. Send the code as ZipFile, or name the endpoint."
                            .into(),
                    ));
                };
                // Held until it is stored; only a closed semaphore gives none, and this never is.
                let _place = self.fetches.acquire().await.ok();
                let zip = endpoint.fetch(&bucket, &key, version.as_deref()).await?;
                return Ok(self.store.ingest_zip(zip, max_unzipped).await?);
            }
        };
        Ok(self.store.ingest_zip(zip, max_unzipped).await?)
    }
}

/// Refuses a zip that is over the limit of direct uploads.
pub(crate) fn check_direct_size(source: &Source) -> Result<(), ControlError> {
    let limit = limits::ZIP_DIRECT_BYTES;
    match source {
        Source::Zip(zip) if u64::try_from(zip.len()).is_ok_and(|length| length <= limit) => Ok(()),
        Source::S3 { .. } => Ok(()),
        Source::Zip(_) => Err(ControlError::TooLarge(format!(
            "Zipped size must be smaller than {limit} bytes"
        ))),
    }
}
