//! Reading request bodies: never more than a limit, never more at once than there is room for,
//! never for longer than a client may be silent.

use std::sync::Arc;

use bootlace_types::limits;
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use hyper::HeaderMap;
use hyper::body::Body as HttpBody;
use hyper::header::EXPECT;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::error::ApiError;

/// Bodies up to this need no place in the room.
const SMALL: usize = 64 * 1024;
const KIB: usize = 1024;
/// A body that is too large is discarded for at most this long.
const DISCARD: std::time::Duration = std::time::Duration::from_secs(10);

/// Memory for request bodies, shared by all connections; those that find none wait.
#[derive(Debug)]
pub(crate) struct Room {
    kib: Arc<Semaphore>,
}

impl Room {
    /// For the bodies of control-plane requests.
    pub(crate) fn of_documents() -> Self {
        Self::new(limits::REQUEST_BYTES_AT_ONCE)
    }

    /// For events: a room of their own, so that no upload holds up an invocation.
    pub(crate) fn of_events() -> Self {
        Self::new(limits::EVENT_BYTES_AT_ONCE)
    }

    fn new(bytes: usize) -> Self {
        Self {
            kib: Arc::new(Semaphore::new(bytes / KIB)),
        }
    }
}

/// A body that was read, and its place in the room for as long as it is held.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) bytes: Bytes,
    pub(crate) place: Place,
}

/// What a body takes of the room; small ones take nothing.
#[derive(Debug, Default)]
pub(crate) struct Place(
    #[allow(dead_code, reason = "held, not read")] Option<OwnedSemaphorePermit>,
);

/// Why a body was not read.
#[derive(Debug)]
pub(crate) enum BodyError {
    /// It is larger than the limit; how large it is, as far as it is known.
    TooLarge(u64),
    /// The client was silent for too long.
    Silent,
    /// The connection ended.
    Broken,
}

impl BodyError {
    /// As an error of an operation other than Invoke.
    pub(crate) fn of_operation(&self, operation: &str, limit: usize) -> ApiError {
        match self {
            Self::TooLarge(_) => ApiError::too_large(format!(
                "Request must be smaller than {limit} bytes for the {operation} operation"
            )),
            Self::Silent => ApiError::timed_out(),
            Self::Broken => ApiError::serialization("The request's body ended early."),
        }
    }
}

impl Room {
    /// Reads a whole body of at most `limit` bytes. The place it takes is not kept for ever, however
    /// slowly a client sends.
    pub(crate) async fn read<B>(
        &self,
        headers: &HeaderMap,
        mut body: B,
        limit: usize,
    ) -> Result<Held, BodyError>
    where
        B: HttpBody<Data = Bytes> + Unpin,
    {
        let declared = body.size_hint().exact();
        let declared = declared.map(|length| usize::try_from(length).unwrap_or(usize::MAX));
        if let Some(length) = declared.filter(|length| *length > limit) {
            // A client that waits for a go-ahead gets the refusal instead; any other has to get
            // its body off before it listens.
            if !headers.contains_key(EXPECT) && length <= limits::DISCARD_BYTES {
                let _ = tokio::time::timeout(DISCARD, discard(&mut body)).await;
            }
            return Err(BodyError::TooLarge(
                u64::try_from(length).unwrap_or(u64::MAX),
            ));
        }
        let place = self.place(declared.unwrap_or(limit)).await;
        let bytes = match next(&mut body).await? {
            None => Bytes::new(),
            // Most bodies come in one piece, which is then the body.
            Some(first) if declared == Some(first.len()) => first,
            Some(first) => {
                let rest = gather(&mut body, first, declared, limit);
                let whole = tokio::time::timeout(limits::CLIENT_BODY, rest).await;
                whole.unwrap_or(Err(BodyError::Silent))?
            }
        };
        let place = shrunk(place, bytes.len());
        Ok(Held { bytes, place })
    }

    async fn place(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        if bytes <= SMALL {
            return None;
        }
        let kib = u32::try_from(bytes.div_ceil(KIB)).unwrap_or(u32::MAX);
        // Only a closed semaphore gives none, and this one is never closed.
        Arc::clone(&self.kib).acquire_many_owned(kib).await.ok()
    }
}

/// A body in chunks may have been as large as the limit; it keeps the place for what it was.
fn shrunk(place: Option<OwnedSemaphorePermit>, bytes: usize) -> Place {
    let needed = if bytes <= SMALL {
        0
    } else {
        bytes.div_ceil(KIB)
    };
    let shrink = |mut place: OwnedSemaphorePermit| {
        let surplus = place.num_permits().saturating_sub(needed);
        drop(place.split(surplus));
        place
    };
    Place(place.map(shrink).filter(|place| place.num_permits() > 0))
}

/// Reads what follows the first piece.
async fn gather<B>(
    body: &mut B,
    first: Bytes,
    declared: Option<usize>,
    limit: usize,
) -> Result<Bytes, BodyError>
where
    B: HttpBody<Data = Bytes> + Unpin,
{
    let mut whole = BytesMut::with_capacity(declared.unwrap_or(first.len()).max(first.len()));
    whole.extend_from_slice(&first);
    while let Some(piece) = next(body).await? {
        if whole.len() + piece.len() > limit {
            let read = u64::try_from(whole.len() + piece.len()).unwrap_or(u64::MAX);
            drop(whole);
            let rest = tokio::time::timeout(DISCARD, discard(body)).await;
            return Err(BodyError::TooLarge(read + rest.unwrap_or_default()));
        }
        whole.extend_from_slice(&piece);
    }
    Ok(whole.freeze())
}

/// The next piece of data; trailers are passed over.
async fn next<B>(body: &mut B) -> Result<Option<Bytes>, BodyError>
where
    B: HttpBody<Data = Bytes> + Unpin,
{
    loop {
        // A frame that is there already costs no timer: it is looked at first.
        let frame = match tokio::time::timeout(limits::CLIENT_SILENCE, body.frame()).await {
            Err(_) => return Err(BodyError::Silent),
            Ok(None) => return Ok(None),
            Ok(Some(Err(_))) => return Err(BodyError::Broken),
            Ok(Some(Ok(frame))) => frame,
        };
        if let Ok(data) = frame.into_data() {
            return Ok(Some(data));
        }
    }
}

/// Reads and throws away, up to a limit; gives how much it was.
async fn discard<B>(body: &mut B) -> u64
where
    B: HttpBody<Data = Bytes> + Unpin,
{
    let mut discarded = 0_usize;
    while discarded <= limits::DISCARD_BYTES {
        match body.frame().await {
            Some(Ok(frame)) => discarded += frame.data_ref().map_or(0, Bytes::len),
            Some(Err(_)) | None => break,
        }
    }
    u64::try_from(discarded).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use http_body_util::{Full, StreamBody};
    use hyper::body::Frame;

    use super::*;

    #[tokio::test]
    async fn a_body_keeps_the_place_it_needs() {
        let room = Room::new(1024 * KIB);
        let free = || room.kib.available_permits();
        let headers = HeaderMap::new();
        let large = Bytes::from(vec![b'x'; 100 * KIB]);

        let piece = Ok::<_, std::convert::Infallible>(Frame::data(large.clone()));
        let chunks = StreamBody::new(futures_util::stream::iter([piece]));
        let in_chunks = room.read(&headers, chunks, 900 * KIB).await.unwrap();
        assert_eq!(free(), 924);
        let whole = room.read(&headers, Full::new(large), 900 * KIB).await;
        let whole = whole.unwrap();
        assert_eq!(free(), 824);
        let small = Full::new(Bytes::from_static(b"{}"));
        let small = room.read(&headers, small, 900 * KIB).await.unwrap();
        assert_eq!(free(), 824);
        drop((in_chunks.bytes, whole.bytes, small.bytes));
        assert_eq!(free(), 824);
        drop((in_chunks.place, whole.place, small.place));
        assert_eq!(free(), 1024);
    }
}
