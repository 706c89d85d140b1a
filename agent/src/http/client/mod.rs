//! One POST, one streamed answer.

mod connect;

use super::error::HttpError;
use super::proxy::Proxy;
use super::rate::Rate;
use super::security::Security;
use super::socket::{Counters, Stream};
use super::wire::Wire;
use http_types::{Method, Request, Response, StatusCode, Url};
use smol::future::FutureExt;
use smol::io::AsyncReadExt;
use std::io;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};
use thiserror::Error;

/// Time to connect: several SYN retransmissions on a slow link.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);
/// Longest silence before the head of an answer, which the accelerator sends before it does any work, and within
/// an answer: while the accelerator works, it sends a frame every few seconds.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// How long to wait for the reason why a connection ended.
#[cfg(feature = "tls")]
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Sends requests to one accelerator.
#[derive(Debug)]
pub struct Client {
    url: Url,
    security: Rc<Security>,
    proxy: Option<Proxy>,
    counters: Arc<Counters>,
    requests: u32,
    /// A connection that no answer is read from.
    idle: Option<Stream>,
    /// Longest silence.
    patience: Duration,
    /// How fast to read, with all others that came of it.
    rate: Option<Rc<Rate>>,
}

impl Client {
    /// A client of the accelerator at this base address.
    pub fn new(base: &str, security: &Rc<Security>) -> Result<Self, HttpError> {
        let bad = |reason| HttpError::BadUrl { url: base.to_owned(), reason };
        if !base.is_ascii() {
            return Err(bad("it is not ASCII; write such a host name in its xn-- form"));
        }
        let url = Url::parse(base).map_err(|_| bad("it does not parse"))?;
        let options = security.options();
        match url.scheme() {
            "http" if options.certificate.is_some() => {
                return Err(bad("a client certificate (--cert) can be shown over https:// only"));
            }
            "http" if options.token_file.is_some() && !is_this_machine(&url) => {
                return Err(bad("a token (--token-file) is sent over https:// only"));
            }
            "http" => {}
            "https" if cfg!(feature = "tls") => {}
            "https" => return Err(bad("this build of skiff has no TLS; use http://")),
            _ => return Err(bad("it must begin with http:// or https://")),
        }
        if url.host_str().is_none_or(str::is_empty) {
            return Err(bad("it names no host"));
        }
        let proxy = options.proxies.before(&url)?;
        if proxy.is_some() && url.scheme() == "http" && options.token_file.is_some() {
            return Err(bad("a token (--token-file) is not shown to a proxy; set no_proxy"));
        }
        Ok(Self::with(url, Rc::clone(security), proxy, PATIENCE))
    }

    fn with(url: Url, security: Rc<Security>, proxy: Option<Proxy>, patience: Duration) -> Self {
        let (counters, requests, idle) = (Arc::default(), 0, None);
        Self { url, security, proxy, counters, requests, idle, patience, rate: None }
    }

    /// Another client of the same accelerator, which counts for itself.
    pub fn another(&self) -> Self {
        let (url, security) = (self.url.clone(), Rc::clone(&self.security));
        let proxy = self.proxy.clone();
        Self { rate: self.rate.clone(), ..Self::with(url, security, proxy, self.patience) }
    }

    /// Receives no more bytes per second than this.
    pub fn set_rate(&mut self, rate: Option<Rc<Rate>>) {
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
        match body.response.status() {
            StatusCode::Unauthorized => return Err(self.unauthorized(&body.response)),
            StatusCode::ProxyAuthenticationRequired => return Err(self.refused_by_proxy(407)),
            status if status.is_server_error() => {
                return Err(HttpError::Unavailable { url: body.url, status: status as u16 });
            }
            _ => {}
        }
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
        let body = self.send(path, media_type, body).await?;
        match body.response.status() {
            StatusCode::Unauthorized => Err(self.unauthorized(&body.response)),
            status => Ok(status as u16),
        }
    }

    /// The proxy that requests themselves are given to; tunnels are not seen by them.
    fn plain_proxy(&self) -> Option<&Proxy> {
        self.proxy.as_ref().filter(|_| self.url.scheme() == "http")
    }

    /// What a request is sent to. To a proxy it names the whole address (RFC 9112, section 3.2.2), which `async-h1`
    /// writes only as the path of an address that has nothing else.
    fn target(&self, path: &str) -> Url {
        let mut target = self.url.clone();
        target.set_path(path);
        if self.plain_proxy().is_some()
            && let Ok(whole) = Url::parse(&format!("whole:{target}"))
        {
            return whole;
        }
        target
    }

    async fn send(&mut self, path: &str, media_type: &str, body: &[u8]) -> Result<Body, HttpError> {
        let mut request = Request::new(Method::Post, self.target(path));
        if let Some(proxy) = self.plain_proxy() {
            request.insert_header("host", self.authority());
            if let Some(value) = &proxy.authorization {
                request.insert_header("proxy-authorization", value.as_str());
            }
        }
        request.insert_header("content-type", media_type);
        request.insert_header("accept", media_type);
        if let Some(token) = self.security.authorization()? {
            request.insert_header("authorization", token);
        }
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
        stream: Stream,
        mut request: Request,
        body: &[u8],
    ) -> Result<Body, HttpError> {
        let url = self.url.to_string();
        request.set_body(body);
        let wire = Wire::new(stream.clone());
        let exchange = async {
            let answered = async_h1::connect(wire, request).await;
            answered.map_err(|error| match error.downcast::<io::Error>() {
                Ok(error) => error,
                Err(error) => io::Error::other(error.to_string()),
            })
        };
        let failed =
            |source| self.failed(source, |url, source| HttpError::Exchange { url, source });
        let response = match timed(self.patience, exchange).await {
            Ok(response) => response,
            Err(source) => {
                // With TLS 1.3 a client certificate is refused after the handshake: the connection ends while a
                // request is written, and the reason waits to be read.
                #[cfg(feature = "tls")]
                if let Stream::Tls(_) = stream
                    && let Err(reason) = timed(LAST_WORDS, stream.clone().read(&mut [0])).await
                    && let error @ HttpError::Denied { .. } = failed(reason)
                {
                    return Err(error);
                }
                return Err(failed(source));
            }
        };
        let (patience, rate, free) = (self.patience, self.rate.clone(), Instant::now());
        Ok(Body { response, url, stream, patience, rate, free })
    }

    fn denied(&self, reason: &'static str) -> HttpError {
        HttpError::Denied { url: self.url.to_string(), reason }
    }

    /// What the failure of a connection says; else `or`.
    fn failed(&self, source: io::Error, or: fn(String, io::Error) -> HttpError) -> HttpError {
        let url = self.url.to_string();
        #[cfg(feature = "tls")]
        {
            use super::tls::{Verdict, verdict};
            match verdict(&source) {
                Verdict::Untrusted(reason) => return HttpError::Untrusted { url, reason },
                Verdict::Denied(reason) => return HttpError::Denied { url, reason },
                Verdict::NoTls => {
                    let reason = "what it says is not TLS".to_owned();
                    return HttpError::Strange { url, reason };
                }
                Verdict::Broken(reason) => return or(url, io::Error::other(reason)),
                Verdict::Other => {}
            }
        }
        or(url, source)
    }
}

/// What a 401 says.
const UNAUTHORIZED: &str = "it knows no such device; is the token (--token-file) or the client certificate \
                            (--cert) in the accelerator's policy?";

/// Whether what is sent there leaves this machine.
fn is_this_machine(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
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
    stream: Stream,
    patience: Duration,
    rate: Option<Rc<Rate>>,
    /// When more may be read.
    free: Instant,
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
        // Before the next bytes, not behind these: who gives up waiting must not lose any.
        if self.free > Instant::now() {
            smol::Timer::at(self.free).await;
        }
        let read = timed(self.patience, self.response.read(buf)).await?;
        if let Some(rate) = &self.rate {
            self.free = Instant::now() + rate.read(read);
        }
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::super::SecurityOptions;
    use super::*;

    #[test]
    fn an_address_is_http_with_an_ascii_host() {
        let security = Rc::default();
        for address in ["http://a.example:7780", "http://xn--bcher-kva.example/", "http://[::1]:1"]
        {
            assert!(Client::new(address, &security).is_ok(), "{address}");
        }
        assert_eq!(Client::new("https://a.example", &security).is_ok(), cfg!(feature = "tls"));
        for (address, reason) in [
            ("http://bücher.example", "not ASCII"),
            ("ftp://a.example", "must begin with http://"),
            ("a.example", "does not parse"),
        ] {
            let error = Client::new(address, &security).err().map(|error| error.to_string());
            assert!(error.is_some_and(|error| error.contains(reason)), "{address}");
        }
    }

    #[test]
    fn a_secret_leaves_the_machine_over_tls_only() {
        let token = SecurityOptions { token_file: Some("/token".into()), ..Default::default() };
        let certificate = SecurityOptions { certificate: Some("/c".into()), ..Default::default() };
        for (options, address, taken) in [
            (&token, "http://a.example", false),
            (&token, "http://127.0.0.1.example", false),
            (&token, "http://10.0.0.1", false),
            (&token, "http://127.0.0.1:7780", true),
            (&token, "http://[::1]", true),
            (&token, "http://localhost:1", true),
            (&token, "https://a.example", cfg!(feature = "tls")),
            (&certificate, "http://127.0.0.1", false),
        ] {
            let security = Rc::new(Security::new(options.clone()));
            assert_eq!(Client::new(address, &security).is_ok(), taken, "{address}");
        }
    }
}
