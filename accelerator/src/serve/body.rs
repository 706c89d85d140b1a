//! The response body: a channel of one place between the answer and the connection, so that the
//! slowest reader holds the answer back, and a reader that goes away ends it.

use super::metrics::Metrics;
use axum::body::Bytes;
use http_body::Frame;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
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
#[derive(Debug)]
pub struct ChannelBody {
    receiver: mpsc::Receiver<Bytes>,
    metrics: Arc<Metrics>,
}

/// A sink, and the body that it fills.
pub fn channel(metrics: Arc<Metrics>) -> (Sink, ChannelBody) {
    let (sender, receiver) = mpsc::channel(1);
    (Sink { sender, sent: 0 }, ChannelBody { receiver, metrics })
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
        self.receiver.poll_recv(context).map(|bytes| {
            let bytes = bytes?;
            self.metrics.sent(bytes.len() as u64);
            Some(Ok(Frame::data(bytes)))
        })
    }
}
