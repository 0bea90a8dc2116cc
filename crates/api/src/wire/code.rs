use bootlace_control::{CodeSource, S3Object};
use serde::Deserialize;

use super::blob::Blob;

/// `FunctionCode`, `LayerVersionContentInput`, and the code's members in UpdateFunctionCode.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct Code {
    zip_file: Option<Blob>,
    #[serde(rename = "S3Bucket")]
    s3_bucket: Option<String>,
    #[serde(rename = "S3Key")]
    s3_key: Option<String>,
    #[serde(rename = "S3ObjectVersion")]
    s3_object_version: Option<String>,
    #[serde(rename = "S3ObjectStorageMode")]
    s3_object_storage_mode: Option<String>,
    image_uri: Option<String>,
    #[serde(rename = "SourceKMSKeyArn")]
    source_kms_key_arn: Option<String>,
}

impl Code {
    pub(crate) fn source(self) -> CodeSource {
        CodeSource {
            zip_file: self.zip_file.map(|blob| blob.0),
            s3: S3Object {
                bucket: self.s3_bucket,
                key: self.s3_key,
                version: self.s3_object_version,
                storage_mode: self.s3_object_storage_mode,
            },
            image_uri: self.image_uri,
            source_kms_key_arn: self.source_kms_key_arn,
        }
    }
}
