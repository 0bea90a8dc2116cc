//! Downloads of code and layers, by addresses that carry our signature and expire.

use bootlace_types::{Digest, clock, limits};
use futures_util::StreamExt as _;
use hmac::{Hmac, KeyInit as _, Mac as _};
use hyper::Response;
use hyper::header::{CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue};
use sha2::Sha256;

use crate::answer::Body;
use crate::call::Call;
use crate::error::ApiError;
use crate::routes::Answered;

/// Signs addresses with a key that this process made for itself.
pub(crate) struct Signer {
    key: [u8; 64],
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Signer")
    }
}

impl Signer {
    pub(crate) fn random() -> Self {
        // Two random UUIDs are 244 random bits.
        use bootlace_types::RequestId;
        let text = format!("{}{}", RequestId::random(), RequestId::random());
        let mut key = [0; 64];
        for (byte, random) in key.iter_mut().zip(text.bytes()) {
            *byte = random;
        }
        Self { key }
    }

    /// The address of a zip, for whoever has it, for ten minutes.
    pub(crate) fn location(&self, authority: &str, digest: &Digest) -> String {
        let expires_ms = now_ms() + u64::try_from(limits::DOWNLOAD.as_millis()).unwrap_or(0);
        let signature = self.sign(digest, expires_ms);
        format!(
            "http://{authority}/bootlace/v1/content/{digest}?expires={expires_ms}&signature={}",
            Digest(signature)
        )
    }

    fn mac(&self, digest: &Digest, expires_ms: u64) -> Option<Hmac<Sha256>> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.key).ok()?;
        mac.update(&digest.0);
        mac.update(&expires_ms.to_be_bytes());
        Some(mac)
    }

    fn sign(&self, digest: &Digest, expires_ms: u64) -> [u8; 32] {
        let mac = self.mac(digest, expires_ms);
        mac.map(|mac| mac.finalize().into_bytes().into())
            .unwrap_or_default()
    }

    /// In constant time.
    fn verify(&self, digest: &Digest, expires_ms: u64, signature: &Digest) -> bool {
        let mac = self.mac(digest, expires_ms);
        mac.is_some_and(|mac| mac.verify_slice(&signature.0).is_ok()) && now_ms() <= expires_ms
    }
}

fn now_ms() -> u64 {
    clock::epoch_ms(clock::wall())
}

pub(crate) async fn download(call: Call) -> Answered {
    let digest: Option<Digest> = call.param("Digest").parse().ok();
    let expires_ms: Option<u64> = call.query("expires").and_then(|text| text.parse().ok());
    let signature: Option<Digest> = call.query("signature").and_then(|text| text.parse().ok());
    let signed = digest.zip(expires_ms).zip(signature);
    let valid = signed.filter(|((digest, expires_ms), signature)| {
        call.shared.signer.verify(digest, *expires_ms, signature)
    });
    let Some(((digest, _), _)) = valid else {
        return Err(ApiError::access_denied(
            "The address has expired or is not one that this server gave.",
        ));
    };
    let found = call.shared.control.content(&digest).await?;
    let (length, stream) =
        found.ok_or_else(|| ApiError::not_found("The content is no longer stored."))?;
    let stream = stream.inspect(move |piece| {
        if let Err(error) = piece {
            tracing::error!(%digest, %error, "a download broke off");
        }
    });
    let mut response = Response::new(Body::Streamed(axum::body::Body::from_stream(stream)));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/zip"));
    headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    let name = HeaderValue::from_static("attachment; filename=\"content.zip\"");
    headers.insert(CONTENT_DISPOSITION, name);
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_holds_for_its_digest_and_time_only() {
        let (signer, digest) = (Signer::random(), Digest([7; 32]));
        let soon = now_ms() + 1000;
        let signature = Digest(signer.sign(&digest, soon));
        assert!(signer.verify(&digest, soon, &signature));
        assert!(!signer.verify(&Digest([8; 32]), soon, &signature));
        assert!(!signer.verify(&digest, soon + 1, &signature));
        assert!(!Signer::random().verify(&digest, soon, &signature));
        let past = now_ms() - 1000;
        assert!(!signer.verify(&digest, past, &Digest(signer.sign(&digest, past))));
    }
}
