//! Connects: to the accelerator, or through a proxy to it.

use super::super::proxy::Proxy;
use super::super::socket::{Socket, Stream};
#[cfg(feature = "tls")]
use super::super::wire::MAX_HEAD;
use super::{CONNECT_TIMEOUT, Client, UNAUTHORIZED, timed};
use crate::http::HttpError;
use http_types::Response;
#[cfg(feature = "tls")]
use smol::io::{AsyncReadExt as _, AsyncWriteExt as _};
use smol::net::TcpStream;
use std::io;
use std::sync::Arc;

impl Client {
    /// A new connection, with TLS if that is wanted.
    pub(super) async fn connect(&self) -> Result<Stream, HttpError> {
        let limit = CONNECT_TIMEOUT.min(self.patience);
        let unreachable = |url, source| HttpError::Connect { url, source };
        let failed = |source| self.failed(source, unreachable);
        let own = self.url.host_str().unwrap_or_default().trim_matches(['[', ']']);
        let place = match &self.proxy {
            Some(proxy) => (&*proxy.host, proxy.port),
            None => (own, self.port()),
        };
        let connect = async {
            let stream = TcpStream::connect(place).await?;
            stream.set_nodelay(true)?;
            if let Some(rate) = &self.rate {
                rate.set_up(&stream);
            }
            Ok(Socket::new(stream, Arc::clone(&self.counters)))
        };
        let connected = timed(limit, connect).await;
        let socket = connected.map_err(|error| failed(self.through_proxy(error)))?;
        #[cfg(feature = "tls")]
        if self.url.scheme() == "https" {
            let mut socket = socket;
            if let Some(proxy) = &self.proxy {
                let tunnel = timed(limit, tunnel(&mut socket, proxy, &self.authority())).await;
                let status = tunnel.map_err(|error| failed(self.through_proxy(error)))?;
                self.check_proxy(status)?;
            }
            let config = self.security.config()?;
            let secured = timed(limit, super::super::tls::secure(config, own, socket)).await;
            return secured.map(Stream::Tls).map_err(failed);
        }
        Ok(Stream::Plain(socket))
    }

    fn port(&self) -> u16 {
        self.url.port_or_known_default().unwrap_or(80)
    }

    /// `HOST:PORT`.
    pub(super) fn authority(&self) -> String {
        format!("{}:{}", self.url.host_str().unwrap_or_default(), self.port())
    }

    /// Says that there is a proxy.
    fn through_proxy(&self, error: io::Error) -> io::Error {
        match &self.proxy {
            Some(proxy) => {
                io::Error::new(error.kind(), format!("by the proxy at {proxy}: {error}"))
            }
            None => error,
        }
    }

    /// What a proxy's answer means for the tunnel.
    #[cfg(feature = "tls")]
    fn check_proxy(&self, status: u16) -> Result<(), HttpError> {
        match status {
            200..=299 => Ok(()),
            500.. => Err(HttpError::Unavailable { url: self.url.to_string(), status }),
            _ => Err(self.refused_by_proxy(status)),
        }
    }

    /// The accelerator's 401, or, as tinyproxy has it for a wrong password, a proxy's.
    pub(super) fn unauthorized(&self, response: &Response) -> HttpError {
        let wants = response.header("www-authenticate").map(|value| value.as_str());
        if self.plain_proxy().is_some() && wants != Some("Bearer") {
            return self.refused_by_proxy(401);
        }
        self.denied(UNAUTHORIZED)
    }

    /// The proxy does not want to.
    pub(super) fn refused_by_proxy(&self, status: u16) -> HttpError {
        let proxy = self.proxy.as_ref().map(Proxy::to_string).unwrap_or_default();
        HttpError::Proxy { proxy, url: self.url.to_string(), status }
    }
}

/// Asks a proxy for a tunnel; gives the status of its answer.
#[cfg(feature = "tls")]
async fn tunnel(socket: &mut Socket, proxy: &Proxy, authority: &str) -> io::Result<u16> {
    let mut head = format!("CONNECT {authority} HTTP/1.1\r\nhost: {authority}\r\n");
    if let Some(value) = &proxy.authorization {
        head += &format!("proxy-authorization: {value}\r\n");
    }
    head += "\r\n";
    socket.write_all(head.as_bytes()).await?;
    let invalid = |what| io::Error::new(io::ErrorKind::InvalidData, what);
    let mut head = Vec::new();
    // Byte by byte: what is behind the head is of the tunnel.
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() >= MAX_HEAD {
            return Err(invalid("the head of its answer is longer than 16 KiB"));
        }
        let mut byte = [0];
        socket.read_exact(&mut byte).await?;
        head.extend(byte);
    }
    let status = head.strip_prefix(b"HTTP/1.").and_then(|rest| match rest {
        [b'0' | b'1', b' ', digits @ ..] => digits.first_chunk::<3>(),
        _ => None,
    });
    let status = status.and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok());
    status.ok_or_else(|| invalid("what it says is not HTTP"))
}
