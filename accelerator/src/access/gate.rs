//! Lets requests in: a layer before the resources that tell of images.

use super::policy::{Policy, PolicyError};
use super::{Access, Watched};
use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Who is at the other end of a connection: the names in its client certificate, in lower case.
#[derive(Debug, Clone, Default)]
pub struct Peer(pub Arc<[String]>);

/// The policy can't be used.
#[derive(Debug, thiserror::Error)]
#[error("the policy {} can't be used", path.display())]
pub struct GateError {
    path: PathBuf,
    source: Reason,
}

#[derive(Debug, thiserror::Error)]
enum Reason {
    #[error(transparent)]
    Read(io::Error),
    #[error(transparent)]
    Policy(PolicyError),
}

/// Lets requests in by a policy, or all.
#[derive(Debug, Default)]
pub struct Gate {
    policy: Option<Watched<Policy, GateError>>,
}

impl Gate {
    /// By the policy in this file, which is read again when it changes.
    ///
    /// # Errors
    /// It can't be read.
    pub fn new(path: &Path) -> Result<Self, GateError> {
        let file = path.to_owned();
        let read = move || read(&file);
        Ok(Self { policy: Some(Watched::new(vec![path.to_owned()], read)?) })
    }

    /// Lets in by the gate what asks for these resources; their handlers find an [`Access`].
    pub fn guard(self: &Arc<Self>, router: Router) -> Router {
        router.layer(middleware::from_fn_with_state(Arc::clone(self), admit))
    }

    /// What a request may read; nothing if nobody is known by what it shows.
    fn access(&self, headers: &HeaderMap, peer: Option<&Peer>) -> Option<Access> {
        const SCHEME: &[u8] = b"bearer ";
        let Some(policy) = &self.policy else { return Some(Access::Open) };
        let token = match headers.get(header::AUTHORIZATION) {
            None => None,
            Some(value) => match value.as_bytes().split_at_checked(SCHEME.len()) {
                Some((scheme, token)) if scheme.eq_ignore_ascii_case(SCHEME) => Some(token),
                _ => return None,
            },
        };
        let names = peer.map_or(&[][..], |peer| &*peer.0);
        policy.get().patterns(token, names).map(Access::Only)
    }
}

fn read(path: &Path) -> Result<Policy, GateError> {
    let failed = |source| GateError { path: path.to_owned(), source };
    let text = fs::read_to_string(path).map_err(|error| failed(Reason::Read(error)))?;
    Policy::parse(&text).map_err(|error| failed(Reason::Policy(error)))
}

async fn admit(State(gate): State<Arc<Gate>>, mut request: Request, next: Next) -> Response {
    match gate.access(request.headers(), request.extensions().get::<Peer>()) {
        Some(access) => {
            request.extensions_mut().insert(access);
            next.run(request).await
        }
        None => {
            tracing::warn!(path = request.uri().path(), "somebody whom the policy does not know");
            let text = "show a token that the policy knows, as `Authorization: Bearer TOKEN`, or a client \
                        certificate\n";
            (StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, "Bearer")], text).into_response()
        }
    }
}
