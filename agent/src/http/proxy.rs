//! Proxies, as the environment names them, in curl's way.
//!
//! | variable | |
//! |---|---|
//! | `http_proxy` | for `http://`: requests name the whole address. Not `HTTP_PROXY`, which whoever asks a CGI program could set |
//! | `https_proxy`, `HTTPS_PROXY` | for `https://`: a tunnel by CONNECT, which sees nothing of what is in it |
//! | `no_proxy`, `NO_PROXY` | names (and what is below them), addresses, `ADDRESS/BITS`, with commas between them; `*` is all |
//!
//! A proxy is `http://[USER:PASSWORD@]HOST[:PORT]`, and is itself spoken to in the clear.

use super::{HttpError, encoding};
use http_types::Url;
use std::net::IpAddr;

/// The variables' values.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Proxies {
    /// For `http://`.
    pub http: Option<String>,
    /// For `https://`.
    pub https: Option<String>,
    /// What needs none.
    pub none: String,
}

impl std::fmt::Debug for Proxies {
    /// Without passwords.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Proxies").field("none", &self.none).finish_non_exhaustive()
    }
}

impl Proxies {
    /// Those of an environment.
    pub fn of(variable: impl Fn(&str) -> Option<String>) -> Self {
        let first = |names: &[&str]| {
            names.iter().find_map(|name| variable(name).filter(|value| !value.is_empty()))
        };
        Self {
            http: first(&["http_proxy"]),
            https: first(&["https_proxy", "HTTPS_PROXY"]),
            none: first(&["no_proxy", "NO_PROXY"]).unwrap_or_default(),
        }
    }

    /// The one that is before this address.
    pub fn before(&self, url: &Url) -> Result<Option<Proxy>, HttpError> {
        let value = if url.scheme() == "https" { &self.https } else { &self.http };
        let host = url.host_str().unwrap_or_default();
        match value {
            Some(value) if !has(&self.none, host) => Proxy::parse(value).map(Some),
            _ => Ok(None),
        }
    }
}

/// A proxy.
#[derive(Clone)]
pub struct Proxy {
    /// Its host, as a name or an address.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// The value of the header `Proxy-Authorization`.
    pub authorization: Option<String>,
}

impl std::fmt::Debug for Proxy {
    /// Without the password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Proxy").field(&self.to_string()).finish()
    }
}

impl std::fmt::Display for Proxy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

impl Proxy {
    fn parse(value: &str) -> Result<Self, HttpError> {
        let full = if value.contains("://") { value.to_owned() } else { format!("http://{value}") };
        let url = Url::parse(&full).ok().filter(|url| value.is_ascii() && url.scheme() == "http");
        let host = |url: &Url| url.host_str().map(|host| host.trim_matches(['[', ']']).to_owned());
        let Some((url, host)) = url.and_then(|url| host(&url).map(|host| (url, host))) else {
            return Err(HttpError::BadProxy);
        };
        let (user, password) = (url.username(), url.password());
        let authorization = if user.is_empty() && password.is_none() {
            None
        } else {
            let mut pair = decoded(user);
            pair.push(b':');
            pair.extend(decoded(password.unwrap_or_default()));
            let mut value = "Basic ".to_owned();
            // Writing into a string can't fail.
            let _ = encoding::to_base64(&pair, |digit| {
                value.push(digit);
                Ok(())
            });
            Some(value)
        };
        Ok(Self { host, port: url.port_or_known_default().unwrap_or(80), authorization })
    }
}

/// What stands in a part of an address, percent-encoded.
fn decoded(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        let digit = |at: usize| after.get(at).and_then(|byte| char::from(*byte).to_digit(16));
        let (byte, behind) = match (first, digit(0), digit(1)) {
            (b'%', Some(high), Some(low)) => {
                (u8::try_from(high * 16 + low).unwrap_or_default(), after.get(2..))
            }
            _ => (*first, Some(after)),
        };
        bytes.push(byte);
        rest = behind.unwrap_or_default();
    }
    bytes
}

/// Whether a list names this host, or something that it is in.
fn has(list: &str, host: &str) -> bool {
    let host = host.trim_matches(['[', ']']).trim_end_matches('.');
    let address: Option<IpAddr> = host.parse().ok();
    let is = |entry: &str| match address {
        _ if entry == "*" => true,
        Some(address) => is_within(entry.trim_matches(['[', ']']), address),
        None => {
            let name = entry.trim_matches('.').to_ascii_lowercase();
            let above = host.strip_suffix(&name);
            !name.is_empty() && above.is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
        }
    };
    list.split([',', ' ', '\t']).any(is)
}

fn is_within(entry: &str, address: IpAddr) -> bool {
    let (of, bits) = entry.split_once('/').map_or((entry, None), |(of, bits)| (of, Some(bits)));
    let number = |address: IpAddr| match address {
        IpAddr::V4(address) => (u128::from(address.to_bits()) << 96, 32),
        IpAddr::V6(address) => (address.to_bits(), 128),
    };
    let (Ok(of), (address, most)) = (of.parse().map(number), number(address)) else { return false };
    let Ok(bits) = bits.map_or(Ok(most), str::parse) else { return false };
    let differ = (of.0 ^ address).leading_zeros();
    of.1 == most && bits <= most && differ >= bits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_that_need_none() {
        for (list, host, expected) in [
            ("", "a.example", false),
            ("*", "a.example", true),
            ("example", "a.example", true),
            (".a.EXAMPLE.", "a.example", true),
            ("b.example, a.example", "x.a.example", true),
            ("a.example", "ba.example", false),
            ("a.example", "example", false),
            (",,", "a.example", false),
            ("127.0.0.1", "127.0.0.1", true),
            ("127.0.0.1", "127.0.0.10", false),
            ("10.1.0.0/16", "10.1.2.3", true),
            ("10.1.0.0/16", "10.2.2.3", false),
            ("0.0.0.0/0", "10.2.2.3", true),
            ("::/0", "10.2.2.3", false),
            ("10.0.0.0/33", "10.0.0.0", false),
            ("[fd00::1]", "[fd00::1]", true),
            ("fd00::/8", "[fd12::1]", true),
            ("2.3", "10.1.2.3", false),
        ] {
            assert_eq!(has(list, host), expected, "{list} {host}");
        }
    }

    #[test]
    fn a_proxy_is_found_in_the_environment() {
        let proxies = Proxies::of(|name| {
            let value = match name {
                "http_proxy" => "http://proxy.example:3128",
                "HTTP_PROXY" => "http://evil.example",
                "https_proxy" => "",
                "HTTPS_PROXY" => "us%40er:pa%3ass@[::1]:80",
                "NO_PROXY" => "near.example",
                _ => return None,
            };
            Some(value.to_owned())
        });
        let before = |url: &str| {
            let proxy = proxies.before(&Url::parse(url).unwrap()).unwrap()?;
            Some((proxy.to_string(), proxy.authorization))
        };
        let expected = ("proxy.example:3128".to_owned(), None);
        assert_eq!(before("http://a.example:7780"), Some(expected));
        // Base64 of `us@er:pa:ss`.
        let expected = ("::1:80".to_owned(), Some("Basic dXNAZXI6cGE6c3M=".to_owned()));
        assert_eq!(before("https://a.example"), Some(expected));
        assert_eq!(before("https://x.near.example"), None);
        for value in ["socks5://a", "https://a", "http://", "ü.example", "a:b:c"] {
            let wrong = Proxies { http: Some(value.to_owned()), ..Proxies::default() };
            assert!(wrong.before(&Url::parse("http://a.example").unwrap()).is_err(), "{value}");
        }
        assert_eq!(decoded("a%2fb%zz%4"), b"a/b%zz%4");
    }
}
