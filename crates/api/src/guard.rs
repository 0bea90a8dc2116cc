//! Which names this server answers to, and which web pages may call it. A browser on this machine
//! is the one client that acts for strangers: DNS rebinding shows in `Host`, a foreign page in
//! `Origin`.

use std::net::{Ipv4Addr, Ipv6Addr};

use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::{Response, StatusCode, Uri};

use crate::ApiOptions;
use crate::answer::{self, Body};
use crate::error::ApiError;

/// Refuses foreign hosts and origins; gives the origin when it is a foreign one that is allowed.
pub(crate) fn check(
    options: &ApiOptions,
    headers: &HeaderMap,
    uri: &Uri,
) -> Result<Option<HeaderValue>, ApiError> {
    let Some(authority) = authority(headers, uri) else {
        return Err(ApiError::access_denied(
            "The request needs one Host header.",
        ));
    };
    let host = host_of(authority);
    let named = |allowed: &String| allowed.eq_ignore_ascii_case(host);
    if !is_loopback(host) && !options.allowed_hosts.iter().any(named) {
        return Err(ApiError::access_denied(
            "This server does not answer to the name in the Host header. Add it to [server] \
             allowed_hosts in Bootlace's configuration if it should.",
        ));
    }
    let Some(origin) = headers.get(header::ORIGIN) else {
        return Ok(None);
    };
    let text = origin.to_str().unwrap_or_default();
    let own = text
        .split_once("://")
        .is_some_and(|(_, at)| at.eq_ignore_ascii_case(authority));
    if own {
        return Ok(None);
    }
    if options
        .allowed_origins
        .iter()
        .any(|allowed| allowed.eq_ignore_ascii_case(text))
    {
        return Ok(Some(origin.clone()));
    }
    Err(ApiError::access_denied(
        "Requests of web pages from elsewhere are refused. Add the page's origin to [server] \
         allowed_origins in Bootlace's configuration if it may call this server.",
    ))
}

/// `host[:port]` as the client wrote it, if it wrote one.
pub(crate) fn authority<'a>(headers: &'a HeaderMap, uri: &'a Uri) -> Option<&'a str> {
    match uri.authority() {
        Some(authority) => Some(authority.as_str()),
        None => {
            let mut hosts = headers.get_all(header::HOST).iter();
            let host = hosts.next().filter(|_| hosts.next().is_none());
            host?.to_str().ok()
        }
    }
}

/// Without the port; an IPv6 address keeps its brackets.
fn host_of(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) => host,
        _ => authority,
    }
}

fn is_loopback(host: &str) -> bool {
    if let Some(address) = host
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
    {
        return address
            .parse::<Ipv6Addr>()
            .is_ok_and(|address| address.is_loopback());
    }
    if host.as_bytes().first().is_some_and(u8::is_ascii_digit) {
        return host
            .parse::<Ipv4Addr>()
            .is_ok_and(|address| address.is_loopback());
    }
    let tail = host
        .len()
        .checked_sub("localhost".len())
        .and_then(|at| host.split_at_checked(at));
    tail.is_some_and(|(sub, name)| {
        let word = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
        name.eq_ignore_ascii_case("localhost")
            && (sub.is_empty() || sub.ends_with('.'))
            && sub.bytes().all(word)
    })
}

/// Headers that a page may read of an answer.
const EXPOSED: HeaderValue = HeaderValue::from_static(
    "x-amzn-requestid, x-amzn-errortype, x-amzn-trace-id, x-amz-function-error, \
     x-amz-log-result, x-amz-executed-version, retry-after",
);

/// Lets the page read the answer.
pub(crate) fn allow(origin: HeaderValue, headers: &mut HeaderMap) {
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
    headers.append(header::VARY, HeaderValue::from_static("origin"));
}

/// What a browser asks before it lets an allowed page send a request.
pub(crate) fn preflight(asked: &HeaderMap) -> Response<Body> {
    let mut response = answer::empty(StatusCode::NO_CONTENT);
    let headers = response.headers_mut();
    let methods = HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE");
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, methods);
    headers.insert(
        header::ACCESS_CONTROL_MAX_AGE,
        HeaderValue::from_static("600"),
    );
    if let Some(names) = asked.get(header::ACCESS_CONTROL_REQUEST_HEADERS) {
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, names.clone());
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(host: &'static str, origin: Option<&'static str>) -> Result<bool, ()> {
        let options = ApiOptions {
            allowed_hosts: vec!["lambda.example".into()],
            allowed_origins: vec!["https://page.example".into()],
            ..ApiOptions::default()
        };
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, HeaderValue::from_static(host));
        if let Some(origin) = origin {
            headers.insert(header::ORIGIN, HeaderValue::from_static(origin));
        }
        let checked = check(&options, &headers, &Uri::from_static("/"));
        checked.map(|origin| origin.is_some()).map_err(drop)
    }

    #[test]
    fn loopback_names_and_allowed_ones_pass() {
        for host in [
            "localhost",
            "LocalHost:4574",
            "abc.lambda-url.us-east-1.localhost:4574",
            "127.0.0.1:4574",
            "127.3.2.1",
            "[::1]:4574",
            "[::1]",
            "lambda.example:80",
        ] {
            assert_eq!(outcome(host, None), Ok(false), "{host}");
        }
    }

    #[test]
    fn other_names_are_refused() {
        for host in [
            "",
            "example.com",
            "localhost.example.com",
            "evillocalhost",
            "<b>.localhost",
            "me@localhost",
            "10.0.0.1:4574",
            "127.0.0.1.example.com",
            "[::2]",
            "::1",
            "0.0.0.0",
        ] {
            assert_eq!(outcome(host, None), Err(()), "{host}");
        }
    }

    #[test]
    fn foreign_pages_are_refused_unless_allowed() {
        let host = "127.0.0.1:4574";
        assert_eq!(outcome(host, Some("http://127.0.0.1:4574")), Ok(false));
        assert_eq!(outcome(host, Some("https://page.example")), Ok(true));
        for origin in [
            "null",
            "http://127.0.0.1:80",
            "https://evil.example",
            "http://localhost:4574",
        ] {
            assert_eq!(outcome(host, Some(origin)), Err(()), "{origin}");
        }
    }
}
