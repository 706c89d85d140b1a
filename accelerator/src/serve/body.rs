//! The response body: a channel of one place between the answer and the connection, so that the
//! slowest reader holds the answer back, and a reader that goes away ends it. Here an answer waits, too, while an urgent
//! one of the same deployment goes first.

use super::metrics::Metrics;
use super::urgent::Place;
use axum::body::Bytes;
use http_body::Frame;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::sync::mpsc;

/// Where an answer puts its frames.
#[derive(Debug)]
pub struct Sink {
    sender: mpsc::Sender<Bytes>,
    sent: u64,
}

/// The device is gone, or does not listen any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the device closed the connection")]
pub struct Gone;

/// What the connection reads.
pub struct ChannelBody {
    receiver: mpsc::Receiver<Bytes>,
    metrics: Arc<Metrics>,
    place: Option<Place>,
    turn: Option<Turn>,
}

/// What an answer waits for.
type Turn = Pin<Box<dyn Future<Output = ()> + Send>>;

impl std::fmt::Debug for ChannelBody {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ChannelBody").field("place", &self.place).finish_non_exhaustive()
    }
}

/// A sink, and the body that it fills, which has a place in its deployment if that has a name.
pub fn channel(metrics: Arc<Metrics>, place: Option<Place>) -> (Sink, ChannelBody) {
    let (sender, receiver) = mpsc::channel(1);
    (Sink { sender, sent: 0 }, ChannelBody { receiver, metrics, place, turn: None })
}

impl Sink {
    /// Waits until there is room, and puts the bytes there.
    pub async fn send(&mut self, bytes: Bytes) -> Result<(), Gone> {
        let len = bytes.len() as u64;
        self.sender.send(bytes).await.map_err(|_| Gone)?;
        self.sent += len;
        Ok(())
    }

    /// Bytes put so far.
    pub fn sent(&self) -> u64 {
        self.sent
    }

    /// Resolves when nobody reads any more.
    pub fn closed(&self) -> impl Future<Output = ()> + Send + 'static {
        let sender = self.sender.clone();
        async move { sender.closed().await }
    }
}

impl http_body::Body for ChannelBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let this = &mut *self;
        if let Some(place) = &this.place {
            if this.turn.is_none() && !place.is_free() {
                this.turn = Some(Box::pin(place.turn()));
            }
            if let Some(turn) = &mut this.turn {
                ready!(turn.as_mut().poll(context));
                this.turn = None;
            }
        }
        self.receiver.poll_recv(context).map(|bytes| {
            let bytes = bytes?;
            self.metrics.sent(bytes.len() as u64);
            if let Some(place) = &mut self.place {
                place.moves_on(bytes.len());
            }
            Some(Ok(Frame::data(bytes)))
        })
    }
}
