//! Who calls, as far as the request says so. With `--auth none` nothing of it is verified.

use bootlace_types::{AccountId, Region, Scope};
use hyper::HeaderMap;
use hyper::header::AUTHORIZATION;

use crate::error::ApiError;

/// The parts of a SigV4 credential scope.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Credential<'a> {
    pub(crate) access_key_id: &'a str,
    pub(crate) region: &'a str,
    pub(crate) service: &'a str,
}

/// `AWS4-HMAC-SHA256 Credential=<key>/<date>/<region>/<service>/aws4_request, …`
pub(crate) fn credential(headers: &HeaderMap) -> Option<Credential<'_>> {
    let text = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let rest = text.strip_prefix("AWS4-HMAC-SHA256")?;
    let (_, rest) = rest.split_once("Credential=")?;
    let scope = rest.split([',', ' ']).next()?;
    // A key id may have slashes in it; what follows it may not.
    let mut parts = scope.rsplitn(5, '/');
    let (_, service) = (parts.next()?, parts.next()?);
    let (region, _date, access_key_id) = (parts.next()?, parts.next()?, parts.next()?);
    Some(Credential {
        access_key_id,
        region,
        service,
    })
}

/// The account and region that a request acts in. One that is signed for a region that cannot be
/// must not act in another.
pub(crate) fn scope(headers: &HeaderMap, default_region: &Region) -> Result<Scope, ApiError> {
    let Some(credential) = credential(headers) else {
        return Ok(unsigned(default_region));
    };
    let region = credential.region.parse();
    Ok(Scope {
        account: AccountId::of_access_key(credential.access_key_id),
        region: region.map_err(|_| ApiError::no_such_region(credential.region))?,
    })
}

/// Where a request acts that names no account and no region.
pub(crate) fn unsigned(default_region: &Region) -> Scope {
    Scope {
        account: AccountId::DEFAULT,
        region: default_region.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::header::HeaderValue;

    fn check(authorization: Option<&'static str>, account: &str, region: &str) {
        let mut headers = HeaderMap::new();
        if let Some(text) = authorization {
            headers.insert(AUTHORIZATION, HeaderValue::from_static(text));
        }
        let scope = scope(&headers, &Region::default()).unwrap();
        assert_eq!(
            (scope.account.as_str(), scope.region.as_str()),
            (account, region)
        );
    }

    #[test]
    fn account_and_region_come_from_the_credential_scope() {
        check(None, "000000000000", "us-east-1");
        check(Some("Bearer x"), "000000000000", "us-east-1");
        check(
            Some("AWS4-HMAC-SHA256 Credential=x"),
            "000000000000",
            "us-east-1",
        );
        check(
            Some(
                "AWS4-HMAC-SHA256 Credential=111122223333/20261124/eu-central-1/lambda/aws4_request, \
                 SignedHeaders=host, Signature=0",
            ),
            "111122223333",
            "eu-central-1",
        );
        check(
            Some("AWS4-HMAC-SHA256 Credential=a/b/20261124/eu-west-1/lambda/aws4_request"),
            "000000000000",
            "eu-west-1",
        );
    }
}
