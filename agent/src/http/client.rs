//! One POST, one streamed answer.

use super::rate::Rate;
use super::wire::{Counters, Wire};
use http_types::{Method, Request, Response, StatusCode, Url};
use smol::future::FutureExt;
use smol::io::AsyncReadExt;
use smol::net::TcpStream;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;

/// Time to connect: several SYN retransmissions on a slow link.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);
/// Longest silence before the head of an answer, which the accelerator sends before it does any work, and within
/// an answer: while the accelerator works, it sends a frame every few seconds.
const PATIENCE: Duration = Duration::from_secs(60);

/// Why there is no (further) answer.
#[derive(Debug, Error)]
pub enum HttpError {
    /// The address does not parse, or is not plain HTTP.
    #[error("'{url}' is not an address like http://accelerator.example:7780: {reason}")]
    BadUrl {
        /// The address.
        url: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// No connection.
    #[error("the accelerator at {url} can't be reached; is it running and is the link up?")]
    Connect {
        /// The address.
        url: String,
        /// Why.
        source: io::Error,
    },
    /// The exchange failed before or within the answer.
    #[error("the connection to the accelerator at {url} failed")]
    Exchange {
        /// The address.
        url: String,
        /// Why.
        source: io::Error,
    },
    /// What answers is not an accelerator.
    #[error("{url} does not answer as an accelerator does ({reason}); is the address right?")]
    Strange {
        /// The address.
        url: String,
        /// What was strange.
        reason: String,
    },
}

/// Sends requests to one accelerator.
#[derive(Debug)]
pub struct Client {
    url: Url,
    counters: Arc<Counters>,
    requests: u32,
    /// A connection that no answer is read from.
    idle: Option<TcpStream>,
    /// Longest silence.
    patience: Duration,
    /// How fast to read, with all others that came of it.
    rate: Option<Arc<Rate>>,
}

impl Client {
    /// A client of the accelerator at this base address.
    pub fn new(base: &str) -> Result<Self, HttpError> {
        let bad = |reason| HttpError::BadUrl { url: base.to_owned(), reason };
        if !base.is_ascii() {
            return Err(bad("it is not ASCII; write such a host name in its xn-- form"));
        }
        let url = Url::parse(base).map_err(|_| bad("it does not parse"))?;
        match url.scheme() {
            "http" => {}
            "https" => return Err(bad("this build of skiff has no TLS; use http://")),
            _ => return Err(bad("it must begin with http://")),
        }
        if url.host_str().is_none_or(str::is_empty) {
            return Err(bad("it names no host"));
        }
        let (counters, rate) = (Arc::default(), None);
        Ok(Self { url, counters, requests: 0, idle: None, patience: PATIENCE, rate })
    }

    /// Another client of the same accelerator, which counts for itself.
    pub fn another(&self) -> Self {
        let (url, patience, rate) = (self.url.clone(), self.patience, self.rate.clone());
        Self { url, counters: Arc::default(), requests: 0, idle: None, patience, rate }
    }

    /// Receives no more bytes per second than this.
    pub fn set_rate(&mut self, rate: Option<Arc<Rate>>) {
        self.rate = rate;
    }

    /// Waits no longer than this for a connection, for the head of an answer, and within it.
    pub fn set_patience(&mut self, patience: Duration) {
        self.patience = patience;
    }

    /// Connects in advance.
    pub async fn warm(&mut self) -> Result<(), HttpError> {
        if self.idle.is_none() {
            self.idle = Some(self.connect().await?);
        }
        Ok(())
    }

    /// Reads an answer to its end, so that the next request goes over the same connection. One that does not
    /// end here is given up.
    pub async fn reuse(&mut self, mut body: Body) {
        let mut rest = [0; 1];
        let end = timed(self.patience, body.response.read(&mut rest)).await;
        if matches!(end, Ok(0)) {
            self.idle = Some(body.stream);
        }
    }

    /// The accelerator's base address.
    pub fn url(&self) -> String {
        self.url.to_string()
    }

    /// Bytes that went over the network so far.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Requests sent so far.
    pub fn requests(&self) -> u32 {
        self.requests
    }

    /// Posts a body and waits for the head of the answer.
    pub async fn post(
        &mut self,
        path: &str,
        media_type: &str,
        body: &[u8],
    ) -> Result<Body, HttpError> {
        let body = self.send(path, media_type, body).await?;
        acceptable(&body.response, media_type)
            .map_err(|reason| HttpError::Strange { url: body.url.clone(), reason })?;
        Ok(body)
    }

    /// Posts a body and gives the status of the answer, whose body nobody needs.
    pub async fn tell(
        &mut self,
        path: &str,
        media_type: &str,
        body: &[u8],
    ) -> Result<u16, HttpError> {
        self.send(path, media_type, body).await.map(|body| body.response.status() as u16)
    }

    async fn send(&mut self, path: &str, media_type: &str, body: &[u8]) -> Result<Body, HttpError> {
        let mut target = self.url.clone();
        target.set_path(path);
        let mut request = Request::new(Method::Post, target);
        request.insert_header("content-type", media_type);
        request.insert_header("accept", media_type);
        self.requests += 1;
        if let Some(stream) = self.idle.take() {
            // The accelerator may have closed it meanwhile.
            let exchanged = self.exchange(stream, request.clone(), body).await;
            if !matches!(exchanged, Err(HttpError::Exchange { .. })) {
                return exchanged;
            }
        }
        let stream = self.connect().await?;
        self.exchange(stream, request, body).await
    }

    async fn exchange(
        &self,
        stream: TcpStream,
        mut request: Request,
        body: &[u8],
    ) -> Result<Body, HttpError> {
        let url = self.url.to_string();
        request.set_body(body);
        let wire = Wire::new(stream.clone(), Arc::clone(&self.counters));
        let exchange = async {
            let answered = async_h1::connect(wire, request).await;
            answered.map_err(|error| io::Error::other(error.to_string()))
        };
        let response = timed(self.patience, exchange)
            .await
            .map_err(|source| HttpError::Exchange { url: url.clone(), source })?;
        Ok(Body { response, url, stream, patience: self.patience, rate: self.rate.clone() })
    }

    async fn connect(&self) -> Result<TcpStream, HttpError> {
        let host = self.url.host_str().unwrap_or_default().trim_matches(['[', ']']);
        let port = self.url.port_or_known_default().unwrap_or(80);
        let connect = async {
            let stream = TcpStream::connect((host, port)).await?;
            stream.set_nodelay(true)?;
            if let Some(rate) = &self.rate {
                rate.set_up(&stream);
            }
            Ok(stream)
        };
        let connected = timed(CONNECT_TIMEOUT.min(self.patience), connect).await;
        connected.map_err(|source| HttpError::Connect { url: self.url.to_string(), source })
    }
}

fn acceptable(response: &Response, media_type: &str) -> Result<(), String> {
    let status = response.status();
    if status != StatusCode::Ok {
        return Err(format!("HTTP status {}", status as u16));
    }
    let header = |name: &str| response.header(name).map(|value| value.as_str().to_owned());
    if header("content-type").as_deref() != Some(media_type) {
        return Err("its media type is not Skiff's".to_owned());
    }
    let chunked = header("transfer-encoding").is_some_and(|value| value == "chunked");
    if !chunked && header("content-length").is_none() {
        return Err("its answer has no length and is not chunked".to_owned());
    }
    Ok(())
}

async fn timed<T>(limit: Duration, work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    work.or(async {
        smol::Timer::after(limit).await;
        Err(io::Error::new(
            io::ErrorKind::TimedOut,
            format!("nothing came for {} s", limit.as_secs()),
        ))
    })
    .await
}

/// The body of an answer.
#[derive(Debug)]
pub struct Body {
    response: Response,
    url: String,
    stream: TcpStream,
    patience: Duration,
    rate: Option<Arc<Rate>>,
}

impl Body {
    /// The address that the answer comes from.
    pub fn url(&self) -> &str {
        &self.url
    }
}

/// An I/O error, as `embedded-io` wants it.
#[derive(Debug, Error)]
#[error(transparent)]
pub struct BodyError(#[from] pub io::Error);

impl embedded_io::Error for BodyError {
    fn kind(&self) -> embedded_io::ErrorKind {
        embedded_io::ErrorKind::Other
    }
}

impl embedded_io::ErrorType for Body {
    type Error = BodyError;
}

impl embedded_io_async::Read for Body {
    async fn read(&mut self, buf: &mut [u8]) -> Result<usize, BodyError> {
        let read = timed(self.patience, self.response.read(buf)).await?;
        if let Some(rate) = &self.rate {
            smol::Timer::after(rate.read(read)).await;
        }
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_http_with_an_ascii_host() {
        for address in ["http://a.example:7780", "http://xn--bcher-kva.example/", "http://[::1]:1"]
        {
            assert!(Client::new(address).is_ok(), "{address}");
        }
        for (address, reason) in [
            ("http://bücher.example", "not ASCII"),
            ("https://a.example", "no TLS"),
            ("ftp://a.example", "must begin with http://"),
            ("a.example", "does not parse"),
        ] {
            let error = Client::new(address).err().map(|error| error.to_string());
            assert!(error.is_some_and(|error| error.contains(reason)), "{address}");
        }
    }
}
