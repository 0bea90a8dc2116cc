//! Where a page ends: a position in the order of time, as text that clients hand back.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bootlace_invoke::logs::{Direction, LogPosition};

use super::error::LogsError;

/// Digits of a number in a token: together they are as long as AWS's.
const DIGITS: usize = 28;

/// `f/<digits>/s` and `b/<digits>/s`
pub(super) fn of_stream(direction: Direction, position: LogPosition) -> String {
    let letter = match direction {
        Direction::Forward => 'f',
        Direction::Backward => 'b',
    };
    format!("{letter}/{}/s", digits(position))
}

pub(super) fn parse_of_stream(token: &str) -> Result<(Direction, LogPosition), LogsError> {
    let parse = || {
        let (letter, rest) = token.split_once('/')?;
        let direction = match letter {
            "f" => Direction::Forward,
            "b" => Direction::Backward,
            _ => return None,
        };
        let position = parse_digits(rest.strip_suffix("/s").unwrap_or(rest))?;
        Some((direction, position))
    };
    parse().ok_or_else(invalid)
}

/// What a token of FilterLogEvents is, before it is encoded.
pub(super) fn of_search(direction: Direction, position: LogPosition) -> String {
    URL_SAFE_NO_PAD.encode(of_stream(direction, position))
}

pub(super) fn parse_of_search(token: &str) -> Result<(Direction, LogPosition), LogsError> {
    let decoded = URL_SAFE_NO_PAD.decode(token).map_err(|_| invalid())?;
    parse_of_stream(std::str::from_utf8(&decoded).map_err(|_| invalid())?)
}

/// A name, and the number that lists of streams may be ordered by.
pub(super) fn of_list(number: u64, name: &str) -> String {
    URL_SAFE_NO_PAD.encode(format!("{number}:{name}"))
}

pub(super) fn parse_of_list(token: &str) -> Result<(u64, String), LogsError> {
    let decoded = URL_SAFE_NO_PAD.decode(token).map_err(|_| invalid())?;
    let text = String::from_utf8(decoded).map_err(|_| invalid())?;
    let (number, name) = text.split_once(':').ok_or_else(invalid)?;
    let number = number.parse().map_err(|_| invalid())?;
    Ok((number, name.to_owned()))
}

/// The id of an event; ids are in the order of events.
pub(super) fn digits(position: LogPosition) -> String {
    let LogPosition { time_ms, seq } = position;
    format!("{time_ms:0DIGITS$}{seq:0DIGITS$}")
}

fn parse_digits(text: &str) -> Option<LogPosition> {
    let (time_ms, seq) = text.split_at_checked(DIGITS)?;
    let number = |text: &str| {
        let whole = text.len() == DIGITS && text.bytes().all(|b| b.is_ascii_digit());
        whole.then(|| text.parse().ok()).flatten()
    };
    Some(LogPosition {
        time_ms: number(time_ms)?,
        seq: number(seq)?,
    })
}

fn invalid() -> LogsError {
    LogsError::invalid("The specified nextToken is invalid.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_come_back() {
        for direction in [Direction::Forward, Direction::Backward] {
            let position = LogPosition {
                time_ms: 1_700_000_000_000,
                seq: u64::MAX,
            };
            let token = of_stream(direction, position);
            assert_eq!(token.len(), 2 + 56 + 2);
            assert_eq!(parse_of_stream(&token), Ok((direction, position)));
            let token = of_search(direction, position);
            assert_eq!(parse_of_search(&token), Ok((direction, position)));
        }
        let token = of_list(7, "2026/11/26/[$LATEST]0:1");
        let parsed = parse_of_list(&token);
        assert_eq!(parsed, Ok((7, "2026/11/26/[$LATEST]0:1".to_owned())));
    }

    #[test]
    fn other_texts_are_no_tokens() {
        let long = format!("f/{}", "9".repeat(56));
        for bad in [
            "",
            "f/",
            "f/1",
            "x/0",
            "b/ä",
            "f/+1",
            &long,
            "Zm9v",
            "\u{1F600}",
        ] {
            assert!(parse_of_stream(bad).is_err(), "{bad}");
            assert!(parse_of_search(bad).is_err(), "{bad}");
            assert!(parse_of_list(bad).is_err(), "{bad}");
        }
    }
}
