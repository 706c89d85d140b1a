//! Opening either database, and bringing it up to date.
//!
//! The migrations are written once, for SQLite. PostgreSQL gets the same text with the name of its
//! own type for bytes, so that the two schemas can't come apart.

use super::claim::Claims;
use super::{Pool, PostgresUrl, Store, StoreError};
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions};
use sqlx::{AssertSqlSafe, ConnectOptions as _, SqlSafeStr as _, SqlStr};
use std::fs::File;
use std::io;
use std::path::Path;
use std::str::FromStr as _;
use std::sync::Arc;
use std::time::Duration;

/// Connections of this program for queries, of either kind of database.
const CONNECTIONS: u32 = 4;
/// How long a PostgreSQL server may take to answer for the first time.
const FIRST_ANSWER: Duration = Duration::from_secs(10);

/// Numbered from 1 on. (The macro that reads the directory would have all of sqlx compiled once more, for the compiler.)
const MIGRATIONS: [(&str, &str); 8] = [
    ("metadata", include_str!("../../migrations/0001_metadata.sql")),
    ("seek index", include_str!("../../migrations/0002_seek_index.sql")),
    ("graph", include_str!("../../migrations/0003_graph.sql")),
    ("hot", include_str!("../../migrations/0004_hot.sql")),
    ("last use", include_str!("../../migrations/0005_last_use.sql")),
    ("uses", include_str!("../../migrations/0006_uses.sql")),
    ("sent", include_str!("../../migrations/0007_sent.sql")),
    ("sketches", include_str!("../../migrations/0008_sketches.sql")),
];

impl Store {
    /// Opens the SQLite database in a directory, or the PostgreSQL database that is named, and
    /// brings it up to date.
    pub async fn open(
        directory: &Path,
        database: Option<&PostgresUrl>,
    ) -> Result<Self, StoreError> {
        match database {
            None => sqlite(directory).await,
            Some(url) => postgres(url).await,
        }
    }
}

async fn sqlite(directory: &Path) -> Result<Store, StoreError> {
    let path = directory.join("metadata.db");
    let name = || path.display().to_string();
    // Programs that start at once on an empty directory bring the database up to date one after the other. Where
    // there are no such locks, one of them may fail.
    let opened = File::open(directory);
    let lock = opened.map_err(|error| StoreError::open(name(), error.into()))?;
    let lock = tokio::task::spawn_blocking(move || lock.lock().is_ok().then_some(lock)).await;
    let options = SqliteConnectOptions::new()
        .filename(&path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .busy_timeout(Duration::from_secs(30));
    let pool = SqlitePoolOptions::new().max_connections(CONNECTIONS).connect_with(options).await;
    let pool = pool.map_err(|error| StoreError::open(name(), error))?;
    let migrated = migrator(|sql| sql.into_sql_str()).run(&pool).await;
    migrated.map_err(|error| StoreError::migrate(name(), error))?;
    drop(lock);
    Ok(Store { pool: Pool::Sqlite(pool), claims: Claims::alone(), plans_put: Arc::default() })
}

async fn postgres(url: &PostgresUrl) -> Result<Store, StoreError> {
    let failed = |error| StoreError::open(url.to_string(), error);
    let options = PgConnectOptions::from_str(url.secret()).map_err(failed)?;
    // The pool would try for half a minute, and then not say why. A connection that is dropped gives
    // back the lock that a failing migration leaves behind, too.
    let connected = tokio::time::timeout(FIRST_ANSWER, options.connect()).await;
    let connected =
        connected.unwrap_or_else(|_| Err(io::Error::from(io::ErrorKind::TimedOut).into()));
    let mut connection = connected.map_err(failed)?;
    // The same migrations in PostgreSQL's words.
    let of_postgres =
        |sql: &'static str| AssertSqlSafe(sql.replace("BLOB", "BYTEA")).into_sql_str();
    let migrated = migrator(of_postgres).run_direct(None, &mut connection, false).await;
    migrated.map_err(|error| StoreError::migrate(url.to_string(), error))?;
    drop(connection);
    let pool = PgPoolOptions::new().max_connections(CONNECTIONS);
    let claims = Claims::shared(options.clone());
    Ok(Store {
        pool: Pool::Postgres(pool.connect_lazy_with(options)),
        claims,
        plans_put: Arc::default(),
    })
}

/// Brings a database up to date. `translate` makes a statement of the text of a migration.
fn migrator(translate: impl Fn(&'static str) -> SqlStr) -> Migrator {
    let migration = |(version, (name, sql)): (i64, &(&'static str, &'static str))| {
        let kind = MigrationType::Simple;
        Migration::new(version, (*name).into(), kind, translate(sql), false)
    };
    Migrator::with_migrations((1..).zip(&MIGRATIONS).map(migration).collect())
}
