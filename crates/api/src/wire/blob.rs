use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::Deserialize;
use serde::de::{self, Deserializer, Visitor};

/// Bytes that JSON carries as base64. They are decoded straight from the request's text: a zip is
/// large.
#[derive(Debug, Clone)]
pub(crate) struct Blob(pub(crate) Bytes);

impl<'de> Deserialize<'de> for Blob {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Base64;

        impl Visitor<'_> for Base64 {
            type Value = Blob;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("text in base64")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Blob, E> {
                let decoded = STANDARD.decode(text);
                // The reason would repeat some of the text; that it is no base64 is enough.
                let bytes = decoded.map_err(|_| E::custom("a blob is no base64"))?;
                Ok(Blob(bytes.into()))
            }
        }

        deserializer.deserialize_str(Base64)
    }
}
