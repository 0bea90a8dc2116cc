//! The least of an HTTP client: bytes out, bytes in, and where an answer ends.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// What a server may take over an answer, on a loaded machine.
pub const PATIENCE: Duration = Duration::from_secs(20);
/// After so long no answer is on its way, as a rule: the request was not complete, or waits.
const ANSWER: Duration = Duration::from_millis(2);
/// An answer longer than this is no answer.
const LONGEST: usize = 16 << 20;

/// One answer, taken apart as far as it matters.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

impl Answer {
    /// The value of a header, whatever the case of its name.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(':'));
        let found = lines.find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.trim())
    }
}

/// Sends a whole request and reads one answer; the connection stays usable.
pub async fn exchange(stream: &mut TcpStream, request: &[u8]) -> io::Result<Answer> {
    stream.write_all(request).await?;
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break end + 4;
        }
        read_more(stream, &mut bytes).await?;
    };
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let status = head.get(9..12).and_then(|status| status.parse().ok());
    let mut answer = Answer {
        status: status.unwrap_or_default(),
        head,
        body: bytes.split_off(end),
    };
    let length = answer
        .header("content-length")
        .and_then(|text| text.parse().ok());
    let length: usize = length.unwrap_or_default();
    while answer.body.len() < length {
        read_more(stream, &mut answer.body).await?;
    }
    Ok(answer)
}

async fn read_more(stream: &mut TcpStream, bytes: &mut Vec<u8>) -> io::Result<()> {
    assert!(bytes.len() < LONGEST, "an answer without end");
    let count = stream.read_buf(bytes).await?;
    if count == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(())
}

/// Sends bytes, says that no more come, and reads whatever comes back. A server may drop a request
/// whose client has left, so an answer is waited for, as long as a complete request may take.
pub async fn throw(address: &str, bytes: &[u8]) -> Vec<u8> {
    let Ok(mut stream) = TcpStream::connect(address).await else {
        // The environment may have ended meanwhile.
        return Vec::new();
    };
    // The server may close, or answer, before it has read all.
    let _ = stream.write_all(bytes).await;
    let mut answers = Vec::new();
    if bytes.windows(4).any(|window| window == b"\r\n\r\n") {
        let _ = tokio::time::timeout(ANSWER, stream.read_buf(&mut answers)).await;
    }
    let _ = stream.shutdown().await;
    while let Ok(count) = stream.read_buf(&mut answers).await {
        if count == 0 {
            break;
        }
        assert!(answers.len() < LONGEST, "an answer without end");
    }
    answers
}

/// The statuses of all answers in what came back. Bodies that look like answers count too, so this
/// is for statuses that must not come at all.
pub fn statuses(answers: &[u8]) -> Vec<u16> {
    const HEAD: &[u8] = b"HTTP/1.1 ";
    let heads = answers
        .windows(HEAD.len() + 3)
        .filter(|window| window.starts_with(HEAD));
    let number = |window: &[u8]| {
        std::str::from_utf8(&window[HEAD.len()..])
            .ok()?
            .parse()
            .ok()
    };
    heads.filter_map(number).collect()
}
