use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::ControlError;

/// The lists that have markers; the marker of one is not one of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum List {
    Functions,
    Layers,
    LayerVersions,
}

impl List {
    const fn tag(self) -> &'static str {
        match self {
            Self::Functions => "functions/",
            Self::Layers => "layers/",
            Self::LayerVersions => "layer-versions/",
        }
    }
}

/// The marker of the page after `last`.
pub(crate) fn encode(list: List, last: &str) -> String {
    URL_SAFE_NO_PAD.encode(format!("{}{last}", list.tag()))
}

/// The last item of the page before; the marker is a caller's and may be anything.
pub(crate) fn decode(list: List, marker: Option<&str>) -> Result<Option<String>, ControlError> {
    let Some(marker) = marker.filter(|marker| !marker.is_empty()) else {
        return Ok(None);
    };
    let wrong = || ControlError::InvalidParameter("Marker is not one that this list gave".into());
    if marker.len() > 256 {
        return Err(wrong());
    }
    let bytes = URL_SAFE_NO_PAD.decode(marker).map_err(|_| wrong())?;
    let text = String::from_utf8(bytes).map_err(|_| wrong())?;
    let last = text.strip_prefix(list.tag()).ok_or_else(wrong)?;
    let name = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
    if last.is_empty() || !last.bytes().all(name) {
        return Err(wrong());
    }
    Ok(Some(last.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_marker_is_read_back_by_its_own_list_only() {
        let marker = encode(List::Functions, "f-1");
        assert_eq!(
            decode(List::Functions, Some(&marker)).unwrap().as_deref(),
            Some("f-1")
        );
        assert!(decode(List::Layers, Some(&marker)).is_err());
        assert_eq!(decode(List::Layers, None).unwrap(), None);
    }

    #[test]
    fn what_is_no_marker_is_refused() {
        let slash = URL_SAFE_NO_PAD.encode("functions/../../x");
        for bad in ["x", "!", "Zm9v", slash.as_str(), "A".repeat(1000).as_str()] {
            assert!(decode(List::Functions, Some(bad)).is_err(), "{bad}");
        }
    }
}
