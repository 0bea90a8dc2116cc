//! X-Ray's trace header, `X-Amzn-Trace-Id`: which trace an invocation belongs to, and under what.

use std::fmt;

use crate::RequestId;

/// A whole story of calls: `1-<8 hex>-<24 hex>` in the header, 32 hex elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceId(u128);

/// One call of it: 16 hex.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SpanId(u64);

/// What the header says, as far as it is understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceHeader {
    pub root: TraceId,
    /// The call that made this one.
    pub parent: Option<SpanId>,
}

impl TraceId {
    /// The trace of an invocation that belongs to no other.
    #[must_use]
    pub fn of(request: RequestId) -> Self {
        Self(request.bits())
    }

    /// The part of the header after `Root=`.
    fn parse(root: &str) -> Option<Self> {
        let (time, rest) = root.strip_prefix("1-")?.split_once('-')?;
        let sizes = time.len() == 8 && rest.len() == 24;
        let digits = [time, rest].iter().all(|part| is_hex(part));
        let number = sizes && digits;
        let number = number.then(|| u128::from_str_radix(&format!("{time}{rest}"), 16));
        let id = number?.ok()?;
        (id != 0).then_some(Self(id))
    }
}

impl SpanId {
    /// The span of an invocation: the second half of its request id, which is never zero.
    #[must_use]
    pub fn of(request: RequestId) -> Self {
        let [.., a, b, c, d, e, f, g, h] = request.bits().to_be_bytes();
        Self(u64::from_be_bytes([a, b, c, d, e, f, g, h]))
    }

    /// A span below this one.
    #[must_use]
    pub fn child(self, nth: u8) -> Self {
        // An odd factor: no two numbers give the same difference.
        let step = (u64::from(nth) + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let child = self.0 ^ step;
        Self(if child == 0 { step } else { child })
    }

    fn parse(text: &str) -> Option<Self> {
        let number = (text.len() == 16 && is_hex(text)).then(|| u64::from_str_radix(text, 16));
        let id = number?.ok()?;
        (id != 0).then_some(Self(id))
    }
}

impl TraceHeader {
    /// Takes a header apart; `None` when it names no trace that could be continued.
    #[must_use]
    pub fn parse(header: &str) -> Option<Self> {
        let field = |name: &str| {
            let mut fields = header
                .split(';')
                .filter_map(|field| field.trim().split_once('='));
            fields.find_map(|(key, value)| key.eq_ignore_ascii_case(name).then_some(value))
        };
        Some(Self {
            root: TraceId::parse(field("Root")?)?,
            parent: field("Parent").and_then(SpanId::parse),
        })
    }

    /// The same header for what is called from `parent`; all else in it stays.
    #[must_use]
    pub fn below(header: &str, parent: SpanId) -> String {
        let mut below = String::with_capacity(header.len() + 32);
        for field in header.split(';').map(str::trim) {
            let name = field.split('=').next().unwrap_or_default();
            if field.is_empty() || name.eq_ignore_ascii_case("Parent") {
                continue;
            }
            if !below.is_empty() {
                below.push(';');
            }
            below.push_str(field);
            if name.eq_ignore_ascii_case("Root") {
                below.push_str(&format!(";Parent={parent}"));
            }
        }
        below
    }
}

impl fmt::Display for TraceId {
    /// As everybody but X-Ray writes it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Display for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

fn is_hex(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOT: &str = "Root=1-5759e988-bd862e3fe1be46a994272793";

    #[test]
    fn a_header_names_its_trace_and_perhaps_a_parent() {
        let root = "5759e988bd862e3fe1be46a994272793";
        for (header, parent) in [
            (
                format!("{ROOT};Parent=53995c3f42cd8ad8;Sampled=1"),
                Some("53995c3f42cd8ad8"),
            ),
            (
                format!("Sampled=0;Parent=53995C3F42CD8AD8; {ROOT}"),
                Some("53995c3f42cd8ad8"),
            ),
            (format!("Self=1-a-b;{ROOT};Lineage=a:1|b:2"), None),
            (format!("{ROOT};Parent=zz"), None),
            (format!("{ROOT};Parent=0000000000000000"), None),
        ] {
            let parsed = TraceHeader::parse(&header).expect("a trace");
            assert_eq!(parsed.root.to_string(), root, "{header}");
            assert_eq!(
                parsed.parent.map(|id| id.to_string()).as_deref(),
                parent,
                "{header}"
            );
        }
        for bad in [
            "",
            "1-5759e988-bd862e3fe1be46a994272793",
            "Root=",
            "Root=1-a-b",
            "Root=2-5759e988-bd862e3fe1be46a994272793",
            "Root=1-5759e988-bd862e3fe1be46a99427279",
            "Root=1-5759e988-bd862e3fe1be46a99427279g",
            "Root=1-+759e988-bd862e3fe1be46a994272793",
            "Root=1-00000000-000000000000000000000000",
            "Root=1-é759e98-bd862e3fe1be46a994272793",
        ] {
            assert_eq!(TraceHeader::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn what_is_called_gets_another_parent_and_the_rest() {
        let request: RequestId = "5bbe1ae4-8b45-4ba7-b58e-9a6d6e4c3a11"
            .parse()
            .expect("an id");
        let span = SpanId::of(request);
        assert_eq!(span.to_string(), "b58e9a6d6e4c3a11");
        assert_eq!(
            TraceId::of(request).to_string(),
            "5bbe1ae48b454ba7b58e9a6d6e4c3a11"
        );
        let expect = format!("{ROOT};Parent={span};Sampled=1;Lineage=a:1");
        for header in [
            format!("{ROOT};Parent=53995c3f42cd8ad8;Sampled=1;Lineage=a:1"),
            format!("parent=1;{ROOT}; Sampled=1;;Lineage=a:1"),
        ] {
            assert_eq!(TraceHeader::below(&header, span), expect);
        }
    }

    #[test]
    fn children_are_different() {
        let span = SpanId::of(RequestId::random());
        let mut ids: Vec<_> = (0..=255).map(|nth| span.child(nth).to_string()).collect();
        ids.push(span.to_string());
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), 257);
    }
}
