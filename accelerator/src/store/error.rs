//! Why the metadata database can't be used, as sentences. None of them holds a password: addresses
//! are printed by [`PostgresUrl`](super::PostgresUrl), and what comes below is the server's words.

use crate::tree::DecodeError;
use skiff_protocol::Digest;
use sqlx::migrate::MigrateError;
use std::io;

/// A cause.
pub type Source = Box<dyn std::error::Error + Send + Sync>;

/// The database fails.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// It can't be opened.
    #[error("the metadata database {name} can't be opened; {advice}")]
    Open {
        /// The file or the address.
        name: String,
        /// What to do.
        advice: &'static str,
        /// Why.
        source: Source,
    },
    /// A query fails.
    #[error("the metadata database fails; see that it runs and that its disk is not full")]
    Query(#[source] Source),
    /// What stands in it can't be read.
    #[error("the metadata of {digest} are damaged; empty the database and ingest again")]
    Damaged {
        /// Layer or image.
        digest: Digest,
        /// Why.
        source: DecodeError,
    },
}

impl StoreError {
    /// A query failed.
    pub(super) fn query(error: sqlx::Error) -> Self {
        Self::Query(plain(error))
    }

    /// The database `name` can't be opened.
    pub(super) fn open(name: String, error: sqlx::Error) -> Self {
        let advice = match &error {
            sqlx::Error::Io(_) => "start it, or correct --database",
            sqlx::Error::Tls(_) => "this program speaks to it without TLS only: sslmode=disable",
            sqlx::Error::Configuration(_) => "correct --database",
            sqlx::Error::Database(error) => match error.code().as_deref() {
                Some("28P01" | "28000") => {
                    "correct user or password in --database, PGPASSWORD or ~/.pgpass"
                }
                Some("3D000") => "create it with `createdb`, or correct --database",
                Some("42501") => "make its user the owner of it",
                Some("53300") => "raise its max_connections",
                Some("57P03") => "try again when it has started",
                _ => OTHER,
            },
            _ => OTHER,
        };
        Self::Open { name, advice, source: plain(error) }
    }

    /// The database `name` can't be brought up to date.
    pub(super) fn migrate(name: String, error: MigrateError) -> Self {
        let advice = match error {
            MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => {
                return Self::open(name, error);
            }
            MigrateError::VersionMissing(_) => {
                "a newer version has written it: install that version of skiff-accelerator"
            }
            _ => "another program has changed it: take an empty one and ingest again",
        };
        Self::Open { name, advice, source: error.into() }
    }
}

const OTHER: &str = "see that it can be read and written";

/// The cause alone: sqlx's errors say it themselves, and then give it as their source once more.
fn plain(error: sqlx::Error) -> Source {
    match error {
        sqlx::Error::Database(error) => error.message().to_owned().into(),
        sqlx::Error::Io(error) => error.into(),
        sqlx::Error::Configuration(error) | sqlx::Error::Tls(error) => error,
        sqlx::Error::PoolTimedOut => io::Error::from(io::ErrorKind::TimedOut).into(),
        other => other.into(),
    }
}
