//! How the accelerator shows who it is: anonymously first, then as the registry's 401 challenges
//! it, by Basic or Bearer (the token protocol of Docker's distribution project).
//!
//! Credentials are docker's: `config.json` with its `auths`, `credsStore` and `credHelpers`, read
//! again at each challenge, so that a `docker login` needs no restart. Tokens are kept for each
//! repository until shortly before they expire. Identity tokens (OAuth2 refresh tokens, which some
//! credential helpers give) are not understood.

use docker_credential::{CredentialRetrievalError, DockerCredential};
use reqwest::header::HeaderValue;
use reqwest::{Client, Url};
use serde::Deserialize;
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A token's life where the server doesn't say it (60 s by the protocol), and what we take off.
const TOKEN_LIFE: u64 = 60;
const TOKEN_MARGIN: Duration = Duration::from_secs(5);
/// Longest answer of a token server.
const MAX_TOKEN: usize = 1 << 20;

/// Authorization headers by repository, and where they come from.
#[derive(Debug)]
pub(crate) struct Auth {
    /// Docker's `config.json`, if there can be one.
    config: Option<PathBuf>,
    /// The registry as `config.json` names it.
    server: String,
    /// Whether the registry itself is spoken to without TLS.
    plain: bool,
    kept: Mutex<HashMap<String, (HeaderValue, Option<Instant>)>>,
}

/// Why a challenge can't be met, as the middle of a sentence.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AuthError {
    #[error("{0}")]
    Challenge(&'static str),
    #[error("docker's credentials can't be read: {0}")]
    Credentials(CredentialRetrievalError),
    #[error("the token server answers {0}")]
    Status(reqwest::StatusCode),
    #[error("the token server does not answer")]
    Request(#[source] reqwest::Error),
}

/// `config.json` where docker has it: in `$DOCKER_CONFIG`, or else in `~/.docker`.
pub fn docker_config() -> Option<PathBuf> {
    let dir = std::env::var_os("DOCKER_CONFIG").map(PathBuf::from);
    let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".docker"));
    dir.or_else(home).map(|dir| dir.join("config.json"))
}

impl Auth {
    pub(crate) fn new(config: Option<PathBuf>, base: &Url) -> Self {
        let host = base.host_str().unwrap_or_default();
        let server = match (host, base.port()) {
            ("docker.io" | "index.docker.io" | "registry-1.docker.io", None) => {
                "https://index.docker.io/v1/".to_owned()
            }
            (host, Some(port)) => format!("{host}:{port}"),
            (host, None) => host.to_owned(),
        };
        Self { config, server, plain: base.scheme() == "http", kept: Mutex::default() }
    }

    /// The header that worked last for this repository.
    pub(crate) fn kept(&self, repository: &str) -> Option<HeaderValue> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let (header, until) = kept.get(repository)?;
        until.is_none_or(|until| Instant::now() < until).then(|| header.clone())
    }

    /// Meets a `WWW-Authenticate` challenge.
    pub(crate) async fn answer(
        &self,
        client: &Client,
        repository: &str,
        challenge: &str,
    ) -> Result<HeaderValue, AuthError> {
        let (scheme, parameters) = challenge.trim().split_once(' ').unwrap_or((challenge, ""));
        let (header, until) = if scheme.eq_ignore_ascii_case("basic") {
            let credentials = self.credentials().await?;
            let (user, password) =
                credentials.ok_or(AuthError::Challenge("it wants a user and a password"))?;
            (basic(client, &user, &password)?, None)
        } else if scheme.eq_ignore_ascii_case("bearer") {
            let token = self.token(client, repository, &parse_parameters(parameters)).await?;
            let life = Duration::from_secs(token.expires_in.unwrap_or(TOKEN_LIFE));
            let text = token.token.or(token.access_token).unwrap_or_default();
            (header(&format!("Bearer {text}"))?, Instant::now().checked_add(life))
        } else {
            return Err(AuthError::Challenge("it wants neither Basic nor Bearer"));
        };
        let until = until.and_then(|until| until.checked_sub(TOKEN_MARGIN));
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        // Repositories come from requests: this must not grow for ever.
        kept.retain(|_, (_, until)| until.is_none_or(|until| Instant::now() < until));
        if kept.len() >= 1024 {
            kept.clear();
        }
        kept.insert(repository.to_owned(), (header.clone(), until));
        Ok(header)
    }

    async fn token(
        &self,
        client: &Client,
        repository: &str,
        parameters: &HashMap<String, String>,
    ) -> Result<Token, AuthError> {
        let realm = parameters.get("realm").and_then(|realm| Url::parse(realm).ok());
        let mut url = realm.ok_or(AuthError::Challenge("it names no token server"))?;
        if url.scheme() != "https" && !self.plain {
            return Err(AuthError::Challenge("its token server has no TLS"));
        }
        if let Some(service) = parameters.get("service") {
            url.query_pairs_mut().append_pair("service", service);
        }
        let scope = format!("repository:{repository}:pull");
        url.query_pairs_mut().append_pair("scope", &scope);
        let mut request = client.get(url);
        if let Some((user, password)) = self.credentials().await? {
            request = request.basic_auth(user, Some(password));
        }
        let wrong = |error: reqwest::Error| AuthError::Request(error.without_url());
        let mut response = request.send().await.map_err(wrong)?;
        if !response.status().is_success() {
            return Err(AuthError::Status(response.status()));
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(wrong)? {
            body.extend_from_slice(&chunk);
            if body.len() > MAX_TOKEN {
                return Err(AuthError::Challenge("its token server's answer is too long"));
            }
        }
        let token = serde_json::from_slice(&body);
        token.map_err(|_| AuthError::Challenge("its token server's answer is no token"))
    }

    /// User and password for the registry, if there are any.
    async fn credentials(&self) -> Result<Option<(String, String)>, AuthError> {
        let Some(path) = self.config.clone() else { return Ok(None) };
        let server = self.server.clone();
        // A credential helper is a program that is waited for.
        let read = tokio::task::spawn_blocking(move || {
            let Ok(file) = std::fs::File::open(path) else { return Ok(None) };
            let reader = std::io::BufReader::new(file);
            match docker_credential::get_credential_from_reader(reader, &server) {
                Ok(credential) => Ok(Some(credential)),
                Err(CredentialRetrievalError::NoCredentialConfigured) => Ok(None),
                Err(error) => Err(AuthError::Credentials(error)),
            }
        });
        match read.await.unwrap_or(Ok(None))? {
            Some(DockerCredential::UsernamePassword(user, password)) => Ok(Some((user, password))),
            Some(DockerCredential::IdentityToken(_)) => {
                Err(AuthError::Challenge("docker has an identity token, which is not understood"))
            }
            None => Ok(None),
        }
    }
}

#[derive(Deserialize)]
struct Token {
    token: Option<String>,
    access_token: Option<String>,
    expires_in: Option<u64>,
}

/// The header that reqwest makes of a user and a password.
fn basic(client: &Client, user: &str, password: &str) -> Result<HeaderValue, AuthError> {
    let request = client.get("http://localhost").basic_auth(user, Some(password)).build();
    let request = request.map_err(AuthError::Request)?;
    let header = request.headers().get(reqwest::header::AUTHORIZATION).cloned();
    header.ok_or(AuthError::Challenge("the user can't be sent"))
}

fn header(text: &str) -> Result<HeaderValue, AuthError> {
    let header = HeaderValue::from_str(text);
    let mut header = header.map_err(|_| AuthError::Challenge("its token can't be sent"))?;
    header.set_sensitive(true);
    Ok(header)
}

/// `key="value",key=value`, where values may contain escaped characters and commas.
fn parse_parameters(text: &str) -> HashMap<String, String> {
    let mut parameters = HashMap::new();
    let mut rest = text.chars().peekable();
    loop {
        while rest.next_if(|c| *c == ',' || c.is_whitespace()).is_some() {}
        let key: String = std::iter::from_fn(|| rest.next_if(|c| !"=,".contains(*c))).collect();
        if key.is_empty() {
            return parameters;
        }
        let mut value = String::new();
        if rest.next_if_eq(&'=').is_some() {
            if rest.next_if_eq(&'"').is_some() {
                while let Some(c) = rest.next().filter(|c| *c != '"') {
                    value.extend(if c == '\\' { rest.next() } else { Some(c) });
                }
            } else {
                value = std::iter::from_fn(|| rest.next_if(|c| *c != ',')).collect();
            }
        }
        parameters.insert(key.trim().to_ascii_lowercase(), value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenges() {
        let rows: [(&str, &[(&str, &str)]); 5] = [
            ("", &[]),
            ("=", &[]),
            (
                r#"realm="https://a/t",service="b c""#,
                &[("realm", "https://a/t"), ("service", "b c")],
            ),
            (
                r#"Realm=x, scope="a:b:pull,push\"""#,
                &[("realm", "x"), ("scope", "a:b:pull,push\"")],
            ),
            (r#"realm="open"#, &[("realm", "open")]),
        ];
        for (text, expected) in rows {
            let expected = expected.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
            assert_eq!(parse_parameters(text), expected.collect(), "{text}");
        }
    }

    #[test]
    fn the_server_as_docker_names_it() {
        let rows = [
            ("http://localhost:5000", "localhost:5000"),
            ("https://registry.example", "registry.example"),
            ("https://registry-1.docker.io", "https://index.docker.io/v1/"),
        ];
        for (url, expected) in rows {
            assert_eq!(Auth::new(None, &Url::parse(url).unwrap()).server, expected);
        }
    }
}
