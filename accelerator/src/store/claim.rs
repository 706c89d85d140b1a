//! Claims of layers: of the accelerators that share a database, one reads a layer, the others wait.
//!
//! ```text
//! A: claim ── look: not there ── read the blob ── put_layer ── drop
//! B:   claim ┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄ waits ┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄ look: there ── drop
//! ```
//!
//! A claim is an advisory lock of PostgreSQL on a connection of its own: closing the connection gives
//! it back, and so does the end of the program or of its host (keepalive). Claims save work; they are
//! not needed for what is right, since storing a layer twice changes nothing. So nobody waits for ever:
//! after [`PATIENCE`] a layer is read all the same.
//!
//! A SQLite database has one program, and there claims are empty: `SingleFlight` does it.

use super::StoreError;
use skiff_protocol::Digest;
use sqlx::ConnectOptions as _;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Connections for claims at a time, of one program; they come to those of the pool. Who holds a
/// claim needs no second one, so the bound can't lock anybody out for ever.
const CONNECTIONS: usize = 16;
/// How long to wait for another accelerator.
const PATIENCE: Duration = Duration::from_secs(600);

/// Sets what a server has of these: a dead host's claim is free after a minute, a dead waiter's
/// connection after ten seconds.
const SETTINGS: &str = "SELECT set_config(s.name, v.value, false) FROM pg_settings s JOIN (VALUES \
    ('tcp_keepalives_idle', '30'), ('tcp_keepalives_interval', '10'), ('tcp_keepalives_count', '3'), \
    ('client_connection_check_interval', '10s')) AS v (name, value) ON s.name = v.name";

/// Makes claims.
#[derive(Clone)]
pub(super) struct Claims(Option<(PgConnectOptions, Arc<Semaphore>)>);

/// A claim that is held; dropping gives it back.
#[derive(Debug)]
pub struct Claim {
    _held: Option<(PgConnection, OwnedSemaphorePermit)>,
}

impl Claims {
    /// Nobody shares the database.
    pub(super) fn alone() -> Self {
        Self(None)
    }

    /// Others use this database, too.
    pub(super) fn shared(options: PgConnectOptions) -> Self {
        Self(Some((options, Arc::new(Semaphore::new(CONNECTIONS)))))
    }

    pub(super) async fn claim(&self, digest: Digest) -> Result<Claim, StoreError> {
        let Some((options, connections)) = &self.0 else { return Ok(Claim { _held: None }) };
        // It is never closed.
        let Ok(permit) = Arc::clone(connections).acquire_owned().await else {
            return Ok(Claim { _held: None });
        };
        let locked = tokio::time::timeout(PATIENCE, lock(options, digest)).await;
        match locked {
            Ok(Ok(connection)) => Ok(Claim { _held: Some((connection, permit)) }),
            Ok(Err(error)) => Err(StoreError::query(error)),
            Err(_) => {
                tracing::warn!(%digest, "another accelerator does not end reading a layer; reading it, too");
                Ok(Claim { _held: None })
            }
        }
    }
}

impl fmt::Debug for Claims {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The options hold a password.
        f.write_str(if self.0.is_some() { "Claims(shared)" } else { "Claims(alone)" })
    }
}

/// A connection that has the lock of this layer.
async fn lock(options: &PgConnectOptions, digest: Digest) -> Result<PgConnection, sqlx::Error> {
    let key = i64::from_be_bytes(digest.0.first_chunk::<8>().copied().unwrap_or_default());
    let mut connection = options.connect().await?;
    sqlx::query(SETTINGS).execute(&mut connection).await?;
    let first = sqlx::query_scalar("SELECT pg_try_advisory_lock($1)").bind(key);
    if !first.fetch_one(&mut connection).await? {
        tracing::info!(%digest, "another accelerator reads this layer; waiting for it");
        sqlx::query("SELECT pg_advisory_lock($1)").bind(key).execute(&mut connection).await?;
    }
    Ok(connection)
}
