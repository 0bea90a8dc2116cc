//! The grammars of names: what they take, they write again as it was.
#![no_main]

use bootlace_types::{
    AccountId, FunctionRef, LayerArn, LayerVersionArn, Qualifier, Region, RequestId, SpanId,
    TraceHeader,
};
use libfuzzer_sys::fuzz_target;

/// Parses, and if that works, the text of what was parsed means the same.
macro_rules! again {
    ($text:expr, $noun:ty) => {
        if let Ok(parsed) = $text.parse::<$noun>() {
            assert_eq!(parsed.to_string().parse::<$noun>().as_ref(), Ok(&parsed));
        }
    };
}

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    again!(text, Qualifier);
    again!(text, LayerArn);
    again!(text, LayerVersionArn);
    again!(text, Region);
    again!(text, AccountId);
    again!(text, RequestId);
    if let Ok(function) = text.parse::<FunctionRef>() {
        assert!(!function.name.is_empty());
        assert!(text.contains(&*function.name));
    }
    let span = SpanId::of(RequestId::random());
    if let Some(header) = TraceHeader::parse(text) {
        let below = TraceHeader::parse(&TraceHeader::below(text, span)).expect("a header");
        assert_eq!((below.root, below.parent), (header.root, Some(span)));
    }
});
