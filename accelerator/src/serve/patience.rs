//! What a client may cost that sends slowly or connects often: bounds on time and on connections, none of which a
//! device comes near to.
//!
//! | bound | |
//! |---|---|
//! | [`HEAD`] | a request's head, and the pause before it |
//! | [`SILENCE`] | between two pieces of a body |
//! | [`BODY`] | a whole body |
//! | [`PER_ADDRESS`], [`CONNECTIONS`] | open connections; many devices may share an address |

use axum::BoxError;
use axum::body::Bytes;
use http_body::Frame;
use std::collections::HashMap;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::{Instant, Sleep, sleep};

/// For a head. It counts on a connection that waits for its next request, too, so it is long.
pub(super) const HEAD: Duration = Duration::from_secs(300);
const SILENCE: Duration = Duration::from_secs(60);
/// A report of 4 MiB takes six minutes at 100 kbit/s.
const BODY: Duration = Duration::from_secs(900);
const PER_ADDRESS: usize = 1024;
const CONNECTIONS: usize = 8192;

/// A client sent nothing, or not all of a body, for too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the body of the request comes too slowly")]
pub(super) struct Slow;

/// A body that has to come in time.
#[derive(Debug)]
pub(super) struct Timed<B> {
    body: Pin<Box<B>>,
    until: Instant,
    silence: Pin<Box<Sleep>>,
}

impl<B> Timed<B> {
    pub(super) fn new(body: B) -> Self {
        let (until, silence) = (Instant::now() + BODY, Box::pin(sleep(SILENCE)));
        Self { body: Box::pin(body), until, silence }
    }
}

impl<B> http_body::Body for Timed<B>
where
    B: http_body::Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let until = self.until;
        if let Poll::Ready(frame) = self.body.as_mut().poll_frame(context) {
            let next = (Instant::now() + SILENCE).min(until);
            self.silence.as_mut().reset(next);
            return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
        }
        self.silence.as_mut().poll(context).map(|()| Some(Err(Slow.into())))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.body.size_hint()
    }
}

/// The connections that are open, by address.
#[derive(Debug, Clone, Default)]
pub(super) struct Connections(Arc<Mutex<HashMap<IpAddr, usize>>>);

/// One of them, while it is open.
#[derive(Debug)]
pub(super) struct Connection {
    all: Connections,
    address: IpAddr,
}

impl Connections {
    /// Counts one more from this address, if that is not too many.
    pub(super) fn open(&self, address: IpAddr) -> Option<Connection> {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let all: usize = counts.values().sum();
        let here = counts.get(&address).copied().unwrap_or_default();
        if all >= CONNECTIONS || here >= PER_ADDRESS {
            return None;
        }
        counts.insert(address, here + 1);
        Some(Connection { all: self.clone(), address })
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let mut counts = self.all.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(here) = counts.get_mut(&self.address) {
            *here -= 1;
            if *here == 0 {
                counts.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::{Body, to_bytes};
    use futures_util::stream::unfold;
    use std::convert::Infallible;
    use std::net::Ipv4Addr;

    /// A body of pieces with a pause before each.
    async fn read(pieces: u32, pause: u64) -> Result<usize, axum::Error> {
        let stream = unfold(0, move |sent| async move {
            tokio::time::sleep(Duration::from_secs(pause)).await;
            (sent < pieces).then_some((Ok::<_, Infallible>(Bytes::from_static(b"x")), sent + 1))
        });
        to_bytes(Body::new(Timed::new(Body::from_stream(stream))), 4096).await.map(|all| all.len())
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_comes_in_time_or_not_at_all() {
        assert_eq!(read(10, 59).await.unwrap(), 10);
        for (pieces, pause) in [(1, 61), (20, 59)] {
            let error = read(pieces, pause).await.unwrap_err().to_string();
            assert_eq!(error, Slow.to_string(), "{pieces} pieces, {pause} s");
        }
    }

    #[test]
    fn an_address_has_only_so_many_connections() {
        let all = Connections::default();
        let address = |last| IpAddr::V4(Ipv4Addr::new(10, 0, 0, last));
        let mut open: Vec<_> = (0..PER_ADDRESS).map(|_| all.open(address(1)).unwrap()).collect();
        assert!(all.open(address(1)).is_none());
        let other = all.open(address(2)).unwrap();
        open.pop();
        assert!(all.open(address(1)).is_some());
        drop((open, other));
        assert!(all.0.lock().unwrap().is_empty());
        let mut many = Vec::new();
        for last in 0..8 {
            many.extend((0..PER_ADDRESS).map(|_| all.open(address(last)).unwrap()));
        }
        assert!(all.open(address(9)).is_none());
    }
}
