//! `POST /v1/notify`: what a registry says when something was pushed. The answer comes at once and is
//! 200 for all that is an envelope, since registries send what was answered otherwise again and again.
//!
//! | status | |
//! |---|---|
//! | 200 | taken, or of no interest; or dropped, because the queue is full |
//! | 400 | the body is no envelope |
//! | 401 | the token is missing or wrong |
//! | 413 | the body is longer than 256 KiB |

use super::Inbox;
use super::envelope::pushed;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, FromRequest as _, Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use std::sync::Arc;

/// The resource.
const PATH: &str = "/v1/notify";
/// Longest body: some hundred events.
const MAX_BODY: usize = 256 * 1024;

/// What the service is to answer.
pub(super) fn routes(inbox: Arc<Inbox>) -> Router {
    Router::new().route(PATH, post(notify)).layer(DefaultBodyLimit::max(MAX_BODY)).with_state(inbox)
}

async fn notify(State(inbox): State<Arc<Inbox>>, request: Request) -> Response {
    let shown = request.headers().get(header::AUTHORIZATION);
    if let Some(token) = &inbox.token
        && !shown.is_some_and(|header| token.shown_by(header.as_bytes()))
    {
        inbox.metrics.notification_refused();
        let text = "a notification needs the header `Authorization: Bearer TOKEN`, with the token that \
                    the accelerator has in SKIFF_NOTIFY_TOKEN\n";
        return (StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, "Bearer")], text)
            .into_response();
    }
    let body = match Bytes::from_request(request, &()).await {
        Ok(body) => body,
        Err(rejection) if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE => {
            let text = format!("a notification has at most {MAX_BODY} bytes; send fewer events\n");
            return (StatusCode::PAYLOAD_TOO_LARGE, text).into_response();
        }
        Err(rejection) => return rejection.into_response(),
    };
    let images = match pushed(&body) {
        Ok(images) => images,
        Err(error) => {
            let text =
                format!("the body is no notification as docker-registry sends it: {error}\n");
            return (StatusCode::BAD_REQUEST, text).into_response();
        }
    };
    for image in images {
        let taken = inbox.add(&image).is_ok();
        inbox.metrics.notified(taken);
        if taken {
            tracing::debug!("{} was pushed", image.name);
        }
    }
    StatusCode::OK.into_response()
}
