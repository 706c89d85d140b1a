//! Everything that can stop a request.

use std::io;
use std::path::PathBuf;
use thiserror::Error;

/// Why there is no (further) answer.
#[derive(Debug, Error)]
pub enum HttpError {
    /// The address does not parse, or does not go with the options.
    #[error("'{url}' is not an address like https://accelerator.example:7780: {reason}")]
    BadUrl {
        /// The address.
        url: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A file of the connection's options.
    #[error("cannot use {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Nobody is trusted.
    #[cfg(feature = "tls")]
    #[error("this system has no file of trusted CAs; give one with --ca, or a key with --pin")]
    NoRoots,
    /// TLS can't be set up.
    #[cfg(feature = "tls")]
    #[error("TLS can't be used: {0}")]
    Setup(String),
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
    /// What answers says that it can't now: a proxy whose accelerator is down, for one.
    #[error("{url} can't answer now (HTTP status {status}); is the accelerator behind it running?")]
    Unavailable {
        /// The address.
        url: String,
        /// The status.
        status: u16,
    },
    /// What answers is not an accelerator.
    #[error("{url} does not answer as an accelerator does ({reason}); is the address right?")]
    Strange {
        /// The address.
        url: String,
        /// What was strange.
        reason: String,
    },
    /// A variable of the environment. Its value may have a password.
    #[error("http_proxy or https_proxy is not an address like http://proxy.example:3128")]
    BadProxy,
    /// The proxy refuses.
    #[error(
        "the proxy at {proxy} does not let this device reach {url} (HTTP status {status}); if it wants a user and a \
         password, give it as http://USER:PASSWORD@HOST:PORT (http_proxy, https_proxy)"
    )]
    Proxy {
        /// The proxy.
        proxy: String,
        /// The address.
        url: String,
        /// What it says.
        status: u16,
    },
    /// What answers can't show that it is the accelerator.
    #[cfg(feature = "tls")]
    #[error("{url} is not trusted: {reason}")]
    Untrusted {
        /// The address.
        url: String,
        /// Why.
        reason: String,
    },
    /// The accelerator does not know this device.
    #[error("the accelerator at {url} refuses this device: {reason}")]
    Denied {
        /// The address.
        url: String,
        /// Why.
        reason: &'static str,
    },
}
