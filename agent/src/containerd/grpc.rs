//! gRPC calls over a Unix socket, without a Tokio runtime: `h2` for the streams, `prost` for the
//! messages, smol's `Async<UnixStream>` below.
//!
//! A call is an HTTP/2 POST whose body is length-prefixed messages; the status stands in the
//! trailers (gRPC over HTTP/2, `PROTOCOL-HTTP2.md`). Windows are small and messages bounded, so
//! that a large answer costs an error, not memory.

use bytes::{BufMut, Bytes, BytesMut};
use h2::client::SendRequest;
use h2::{RecvStream, SendStream};
use http::{HeaderMap, Request};
use prost::Message;
use smol::Async;
use smol::future::FutureExt;
use std::future::poll_fn;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::time::Duration;
use thiserror::Error;
use tokio_util::compat::FuturesAsyncReadCompatExt;

/// Longest message that is taken: a list of images is one message.
const MAX_MESSAGE: usize = 4 * 1024 * 1024;
/// HTTP/2 flow-control window: what can be under way unread.
const WINDOW: u32 = 64 * 1024;
/// Time for one call. A commit of a snapshot walks its files to count their bytes, and deleting an
/// image collects garbage, so it is long.
const TIMEOUT: Duration = Duration::from_secs(300);

/// gRPC status codes that are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    /// Nothing of that name.
    NotFound,
    /// There is one of that name.
    AlreadyExists,
    /// Any other, by number.
    Other(u16),
}

/// A call failed. It is one word, as [`crate::target::TargetError`] is.
#[derive(Debug, Error)]
#[error(transparent)]
pub struct GrpcError(Box<GrpcTrouble>);

#[derive(Debug, Error)]
enum GrpcTrouble {
    /// Nobody answers on the socket.
    #[error("containerd does not answer on {}; is it running?", socket.display())]
    Connect {
        /// The socket.
        socket: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The connection broke, or what came is not gRPC.
    #[error("the connection to containerd on {} broke ({reason})", socket.display())]
    Broken {
        /// The socket.
        socket: PathBuf,
        /// How.
        reason: String,
    },
    /// containerd refuses.
    #[error("containerd refuses {call}: {message}")]
    Status {
        /// The method.
        call: &'static str,
        /// The status code.
        code: Code,
        /// containerd's words.
        message: String,
    },
}

impl GrpcError {
    /// Whether there is nothing of that name.
    pub fn is_not_found(&self) -> bool {
        matches!(*self.0, GrpcTrouble::Status { code: Code::NotFound, .. })
    }

    /// Whether there is one of that name already.
    pub fn already_exists(&self) -> bool {
        matches!(*self.0, GrpcTrouble::Status { code: Code::AlreadyExists, .. })
    }

    /// Whether a file or a directory stands in containerd's way, in the words of its language.
    pub fn is_in_the_way(&self) -> bool {
        matches!(&*self.0, GrpcTrouble::Status { message, .. } if message.ends_with(": file exists"))
    }
}

/// A call under way, in a box: so its states are not made again within those of each caller.
type Calling<'a, T> = Pin<Box<dyn Future<Output = Result<T, GrpcError>> + 'a>>;

/// A connection to containerd, for one namespace.
#[derive(Debug)]
pub struct Client {
    socket: PathBuf,
    namespace: String,
    /// The lease that calls are made under.
    lease: Option<String>,
    send: SendRequest<Bytes>,
}

impl Client {
    /// Connects.
    pub async fn connect(socket: &Path, namespace: &str) -> Result<Self, GrpcError> {
        let failed = |source| {
            GrpcError(Box::new(GrpcTrouble::Connect { socket: socket.to_owned(), source }))
        };
        let stream = Async::<UnixStream>::connect(socket).await.map_err(failed)?;
        let (send, connection) = h2::client::Builder::new()
            .initial_window_size(WINDOW)
            .initial_connection_window_size(WINDOW)
            .max_send_buffer_size(64 * 1024)
            .enable_push(false)
            .handshake(stream.compat())
            .await
            .map_err(|error| failed(std::io::Error::other(error)))?;
        // A thread, since smol's global executor would bring a reaper of child processes along
        // (24 KB). It ends with the last handle; an error is seen by the calls that it breaks.
        std::thread::Builder::new()
            .name("containerd".to_owned())
            .spawn(move || smol::block_on(connection))
            .map_err(failed)?;
        Ok(Self { socket: socket.to_owned(), namespace: namespace.to_owned(), lease: None, send })
    }

    /// Makes further calls under this lease.
    pub fn set_lease(&mut self, lease: Option<String>) {
        self.lease = lease;
    }

    /// A call with one message each way.
    pub async fn unary<A: Message, B: Message + Default>(
        &self,
        call: &'static str,
        ask: &A,
    ) -> Result<B, GrpcError> {
        let message = self.ask(call, frame(ask)).await?;
        B::decode(message).map_err(|error| self.broken(error))
    }

    /// A call with any number of messages each way. All are sent before any is looked at, which
    /// suits calls whose answers are few or small.
    pub async fn streaming<A, B, I>(
        &self,
        call: &'static str,
        asks: I,
        mut each: impl FnMut(B),
    ) -> Result<(), GrpcError>
    where
        A: Message,
        B: Message + Default,
        I: IntoIterator<Item = A>,
    {
        let mut frames = asks.into_iter().map(|ask| frame(&ask));
        let mut each = |message| {
            each(B::decode(message).map_err(|error| self.broken(error))?);
            Ok(())
        };
        self.exchange(call, &mut frames, &mut each).await
    }

    fn ask(&self, call: &'static str, frame: Bytes) -> Calling<'_, Bytes> {
        Box::pin(async move {
            let mut answer = None;
            let mut keep = |message| {
                answer = Some(message);
                Ok(())
            };
            self.exchange(call, &mut std::iter::once(frame), &mut keep).await?;
            answer.ok_or_else(|| self.broken("an answer without a message"))
        })
    }

    /// The work of every call, on bytes: what knows a message's type is made again for each type.
    fn exchange<'a>(
        &'a self,
        call: &'static str,
        frames: &'a mut dyn Iterator<Item = Bytes>,
        each: &'a mut dyn FnMut(Bytes) -> Result<(), GrpcError>,
    ) -> Calling<'a, ()> {
        let work = async move {
            let (mut body, response) = self.begin(call).await?;
            for frame in frames {
                // A refusal closes the stream while we send; it is read below.
                if self.send_all(&mut body, frame).await.is_err() {
                    break;
                }
            }
            let _ = body.send_data(Bytes::new(), true);
            let response = response.await.map_err(|error| self.broken(error))?;
            check_status(call, response.headers())?;
            let mut body = response.into_body();
            let mut buffer = BytesMut::new();
            while let Some(message) = self.next_message(&mut body, &mut buffer).await? {
                each(message)?;
            }
            let trailers = body.trailers().await.map_err(|error| self.broken(error))?;
            check_status(call, &trailers.unwrap_or_default())
        };
        Box::pin(work.or(async move {
            smol::Timer::after(TIMEOUT).await;
            Err(self.broken(format!("no answer to {call} for {} s", TIMEOUT.as_secs())))
        }))
    }

    async fn begin(
        &self,
        call: &'static str,
    ) -> Result<(SendStream<Bytes>, h2::client::ResponseFuture), GrpcError> {
        let mut request = Request::post(format!("http://localhost{call}"))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .header("containerd-namespace", &self.namespace);
        if let Some(lease) = &self.lease {
            request = request.header("containerd-lease", lease);
        }
        let request = request.body(()).map_err(|error| self.broken(error))?;
        let mut send = self.send.clone().ready().await.map_err(|error| self.broken(error))?;
        let (response, body) =
            send.send_request(request, false).map_err(|error| self.broken(error))?;
        Ok((body, response))
    }

    /// Sends a message as the window allows.
    async fn send_all(
        &self,
        body: &mut SendStream<Bytes>,
        mut data: Bytes,
    ) -> Result<(), GrpcError> {
        while !data.is_empty() {
            body.reserve_capacity(data.len());
            let room = match poll_fn(|cx| body.poll_capacity(cx)).await {
                Some(Ok(room)) => room,
                Some(Err(error)) => return Err(self.broken(error)),
                None => return Err(self.broken("the stream was closed")),
            };
            let now = data.split_to(room.min(data.len()));
            body.send_data(now, false).map_err(|error| self.broken(error))?;
        }
        Ok(())
    }

    /// The next whole message.
    async fn next_message(
        &self,
        body: &mut RecvStream,
        buffer: &mut BytesMut,
    ) -> Result<Option<Bytes>, GrpcError> {
        loop {
            if let Some(&[compressed, a, b, c, d]) = buffer.first_chunk::<5>() {
                let len = u32::from_be_bytes([a, b, c, d]) as usize;
                if compressed != 0 || len > MAX_MESSAGE {
                    return Err(self.broken("a message that is compressed or above 4 MiB"));
                }
                if buffer.len() >= 5 + len {
                    let mut message = buffer.split_to(5 + len);
                    return Ok(Some(message.split_off(5).freeze()));
                }
            }
            match body.data().await {
                Some(Ok(data)) => {
                    let _ = body.flow_control().release_capacity(data.len());
                    buffer.extend_from_slice(&data);
                }
                Some(Err(error)) => return Err(self.broken(error)),
                None if buffer.is_empty() => return Ok(None),
                None => return Err(self.broken("half a message")),
            }
        }
    }

    fn broken(&self, reason: impl ToString) -> GrpcError {
        let (socket, reason) = (self.socket.clone(), reason.to_string());
        GrpcError(Box::new(GrpcTrouble::Broken { socket, reason }))
    }
}

fn frame(message: &impl Message) -> Bytes {
    let len = message.encoded_len();
    let mut bytes = BytesMut::with_capacity(5 + len);
    bytes.put_u8(0);
    bytes.put_u32(u32::try_from(len).unwrap_or(u32::MAX));
    // Room was made; encoding can't fail.
    let _ = message.encode(&mut bytes);
    bytes.freeze()
}

/// Status and message of a call, from its trailers (or its headers, where there is no body).
fn check_status(call: &'static str, headers: &HeaderMap) -> Result<(), GrpcError> {
    let Some(status) = headers.get("grpc-status") else { return Ok(()) };
    let code = match status.to_str().ok().and_then(|text| text.parse().ok()) {
        Some(0) => return Ok(()),
        Some(5) => Code::NotFound,
        Some(6) => Code::AlreadyExists,
        Some(number) => Code::Other(number),
        None => Code::Other(u16::MAX),
    };
    let message = headers.get("grpc-message").map(|text| percent_decoded(text.as_bytes()));
    let message = message.unwrap_or_default();
    Err(GrpcError(Box::new(GrpcTrouble::Status { call, code, message })))
}

fn percent_decoded(text: &[u8]) -> String {
    let mut bytes = Vec::new();
    let mut rest = text;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        let hex = after.first_chunk::<2>().and_then(|hex| std::str::from_utf8(hex).ok());
        match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(decoded) if byte == b'%' => {
                bytes.push(decoded);
                rest = &after[2..];
            }
            _ => bytes.push(byte),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_of_containerd_are_readable() {
        assert_eq!(percent_decoded(b"snapshot %22x%22: 100%"), "snapshot \"x\": 100%");
        let mut headers = HeaderMap::new();
        assert!(check_status("x", &headers).is_ok());
        headers.insert("grpc-status", "5".parse().unwrap());
        assert!(check_status("x", &headers).unwrap_err().is_not_found());
        headers.insert("grpc-status", "6".parse().unwrap());
        assert!(check_status("x", &headers).unwrap_err().already_exists());
    }
}
