//! Connections: an HTTP/1.1 server on each, with little between an answer and the link.
//!
//! What lies in a buffer can't be overtaken. So that an urgent answer need not wait behind what another connection of
//! the same device has ready, little of an answer is outside of our hands: one slice in the server's buffer
//! ([`BUFFER`]), and [`UNSENT`] bytes in the socket, beside what is on the way. That does not slow a long and fat
//! link down: bytes that were sent and not yet confirmed don't count.
//!
//! TLS (`access`) has a buffer of its own, which is as small: a slice is encrypted when the socket takes it.
//!
//! A device that vanishes without a word is noticed, on a connection that is waiting for its next request, too.

use super::metrics::{Handshake, Metrics};
use super::patience::{Connections, HEAD, Timed};
use crate::access::{Peer, Tls};
use axum::Router;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use nix::sys::socket::{setsockopt, sockopt};
use nix::{libc, setsockopt_impl, sockopt_impl};
use rustls::HandshakeKind;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;

/// Bytes in the server's buffer from which on it takes no more of an answer.
const BUFFER: usize = 16 << 10;
/// Bytes in the socket that are not sent yet from which on it takes no more.
const UNSENT: u32 = 16 << 10;
/// Seconds of silence after which a device is asked whether it is there, and how often it is asked.
const SILENCE: u32 = 60;
const QUESTIONS: u32 = 4;
/// How long what was sent may stay unconfirmed, milliseconds.
const UNCONFIRMED: u32 = 180_000;
/// Connections that may wait to be accepted, if the kernel lets them (`net.core.somaxconn`, 4,096 since 5.4).
const WAITING: u32 = 4096;
/// How long to wait after a failure to accept, like too many open files.
const PAUSE: Duration = Duration::from_millis(100);

sockopt_impl!(
    /// `TCP_NOTSENT_LOWAT`.
    NotSentLowAt,
    SetOnly,
    libc::IPPROTO_TCP,
    libc::TCP_NOTSENT_LOWAT,
    u32
);

/// A listener on this address, in the runtime of the caller. A fleet may come all at once, after a power cut for one: connections that
/// find no room would be dropped, or broken later.
pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // As `TcpListener::bind` does, whose queue has room for 128.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(WAITING)
}

/// Serves until `stop` resolves; answers that have begun are finished.
pub(super) async fn serve(
    listener: TcpListener,
    router: Router,
    tls: Option<(Arc<Tls>, Arc<Metrics>)>,
    stop: impl Future<Output = ()> + Send,
) {
    let connections = GracefulShutdown::new();
    let open = Connections::default();
    // Nothing is sent; that the sender goes tells handshakes that are under way.
    let (serving, served) = watch::channel(());
    let mut stop = std::pin::pin!(stop);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = &mut stop => break,
        };
        let (stream, from) = match accepted {
            Ok(accepted) => accepted,
            Err(error) if is_of_one(&error) => continue,
            Err(error) => {
                tracing::warn!("no connection can be accepted: {error}");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        let Some(counted) = open.open(from.ip()) else {
            tracing::warn!("too many connections are open for another from {}", from.ip());
            continue;
        };
        set_up(&stream);
        let (router, tls, watcher) = (router.clone(), tls.clone(), connections.watcher());
        let mut served = served.clone();
        tokio::spawn(async move {
            let _counted = counted;
            let Some((tls, metrics)) = tls else {
                return converse(stream, Peer::default(), router, watcher).await;
            };
            let accepted = tokio::select! {
                accepted = tls.accept(stream, BUFFER) => accepted,
                _ = served.changed() => return,
            };
            match accepted {
                Ok((stream, peer)) => {
                    let resumed =
                        stream.get_ref().1.handshake_kind() == Some(HandshakeKind::Resumed);
                    metrics.shook_hands(if resumed { Handshake::Resumed } else { Handshake::Full });
                    converse(stream, peer, router, watcher).await;
                }
                Err(error) => {
                    metrics.shook_hands(Handshake::Failed);
                    tracing::warn!(%from, "no TLS connection came about: {error}");
                }
            }
        });
    }
    drop((listener, serving));
    connections.shutdown().await;
}

/// Serves one connection to its end.
async fn converse(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    peer: Peer,
    router: Router,
    watcher: Watcher,
) {
    let router = TowerToHyperService::new(router);
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(peer.clone());
        router.call(request.map(Timed::new))
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .max_buf_size(BUFFER)
        .serve_connection(TokioIo::new(stream), service);
    if let Err(error) = watcher.watch(connection).await {
        tracing::debug!("a connection ended: {error}");
    }
}

/// Whether only the connection that was to be accepted has failed.
fn is_of_one(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

/// What the system can't do makes answers slower and nothing else.
fn set_up(stream: &TcpStream) {
    let done = stream
        // A frame should not wait for the next.
        .set_nodelay(true)
        .and_then(|()| Ok(setsockopt(stream, NotSentLowAt, &UNSENT)?))
        .and_then(|()| Ok(setsockopt(stream, sockopt::KeepAlive, &true)?))
        .and_then(|()| Ok(setsockopt(stream, sockopt::TcpKeepIdle, &SILENCE)?))
        .and_then(|()| Ok(setsockopt(stream, sockopt::TcpKeepInterval, &(SILENCE / 4))?))
        .and_then(|()| Ok(setsockopt(stream, sockopt::TcpKeepCount, &QUESTIONS)?))
        .and_then(|()| Ok(setsockopt(stream, sockopt::TcpUserTimeout, &UNCONFIRMED)?));
    if let Err(error) = done {
        tracing::debug!("a connection has not all of its options: {error}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::timeout;

    #[tokio::test]
    async fn many_may_wait_to_be_accepted() {
        let listener = bind(([127, 0, 0, 1], 0).into()).unwrap();
        let address = listener.local_addr().unwrap();
        let mut waiting = Vec::new();
        for number in 0..1000 {
            let connected = timeout(Duration::from_secs(10), TcpStream::connect(address)).await;
            waiting.push(connected.unwrap_or_else(|_| panic!("no room after {number}")).unwrap());
        }
    }
}
