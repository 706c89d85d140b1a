//! Bounds of what grows: with every deployment plans, names of states, deltas; with every image that is read layers,
//! images and bases, also when the registry has them no more. Of each, those that were used last stay ([`KEPT`]); one
//! that is planned or read again counts as used then.
//!
//! Nothing is wrong without the others: a plan is made anew from its images, a delta's bytes are measured
//! anew, a layer is read anew from the registry. A device whose image is neither here nor in the registry any more
//! gets the next one whole; so images stay for long. And a name that no device has asked for in so many deployments is
//! not looked at by `--poll` until one does. What applications name is in a table of its own, which only its commands change.
//!
//! Last uses are noted by the hour, so that a deployment like the one before writes nothing.

use super::{Pool, Store, StoreError};
use crate::causes::chain;
use skiff_protocol::Digest;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{SystemTime, UNIX_EPOCH};

/// Rows of each of the tables.
const KEPT: i64 = 10_000;
/// How many plans are put until the tables are looked at again: so many rows more there may be, for each
/// accelerator with this database.
const EVERY: u64 = 1000;
/// How old a last use is, at least, when it is noted anew, in milliseconds.
pub(super) const NOTED: i64 = 3_600_000;

/// The tables whose uses stand apart, with their keys, and how many times [`KEPT`] of them are kept: an image has several
/// layers.
const APART: [(Kind, &str, i64); 3] =
    [(Kind::Layers, "digest", 10), (Kind::Images, "manifest", 1), (Kind::Bases, "tree_digest", 1)];

/// The others with their keys.
const TABLES: [(&str, &str); 3] =
    [("plans", "id"), ("states", "tree_digest, name"), ("deltas", "parent, child")];

/// What uses are noted of apart from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Layers,
    Images,
    Bases,
}

impl Kind {
    /// The table.
    pub(super) fn table(self) -> &'static str {
        match self {
            Self::Layers => "layers",
            Self::Images => "images",
            Self::Bases => "bases",
        }
    }
}

/// Milliseconds since 1970.
pub(super) fn now() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_millis()).unwrap_or(i64::MAX)
}

impl Store {
    /// To be called with each plan; removes old rows with the first one and then now and then. A deployment
    /// does not fail because that does: the next time will do.
    pub(super) async fn prune_now_and_then(&self) {
        if !self.plans_put.fetch_add(1, Relaxed).is_multiple_of(EVERY) {
            return;
        }
        if let Err(error) = self.prune(KEPT).await {
            tracing::warn!("old plans can't be removed: {}", chain(&error));
        }
    }

    /// Notes that a row is used. If that fails, the row is as good.
    pub(super) async fn note_use(&self, kind: Kind, digest: Digest) {
        let sql = "INSERT INTO uses (kind, digest, used) VALUES ($1, $2, $3) \
             ON CONFLICT (kind, digest) DO UPDATE SET used = excluded.used WHERE uses.used < $4";
        let now = now();
        let noting = async {
            either!(self, |pool| sqlx::query(sql)
                .bind(kind.table())
                .bind(&digest.0[..])
                .bind(now)
                .bind(now - NOTED)
                .execute(pool)
                .await
                .map(drop))
        };
        if let Err(error) = noting.await {
            tracing::warn!("it can't be noted what is used: {}", chain(&error));
        }
    }

    /// Removes all but the rows of each table that were used last.
    pub(super) async fn prune(&self, kept: i64) -> Result<(), StoreError> {
        for (kind, key, times) in APART {
            let table = kind.table();
            let rows = format!(
                "DELETE FROM {table} WHERE {key} IN (SELECT digest FROM uses WHERE kind = '{table}' \
                 ORDER BY used DESC, digest LIMIT {} OFFSET $1)",
                i64::MAX
            );
            self.remove(table, rows, Some(kept.saturating_mul(times))).await?;
            let uses = format!(
                "DELETE FROM uses WHERE kind = '{table}' AND digest NOT IN (SELECT {key} FROM {table})"
            );
            self.remove("uses", uses, None).await?;
        }
        let sql = "DELETE FROM predictions WHERE manifest NOT IN (SELECT manifest FROM images)";
        self.remove("predictions", sql.to_owned(), None).await?;
        for (table, key) in TABLES {
            // Both databases take a huge limit, and an offset needs one.
            let sql = format!(
                "DELETE FROM {table} WHERE ({key}) IN \
                 (SELECT {key} FROM {table} ORDER BY used DESC, {key} LIMIT {} OFFSET $1)",
                i64::MAX
            );
            self.remove(table, sql, Some(kept)).await?;
        }
        let sql =
            "DELETE FROM sent WHERE (parent, child) NOT IN (SELECT parent, child FROM deltas)";
        self.remove("sent", sql.to_owned(), None).await?;
        Ok(())
    }

    /// Removes rows of a table by a statement that nothing from outside is in, but for one number.
    async fn remove(
        &self,
        table: &str,
        sql: String,
        number: Option<i64>,
    ) -> Result<(), StoreError> {
        let sql = sqlx::AssertSqlSafe(sql);
        let removed = either!(self, |pool| {
            let query = sqlx::query(sql);
            let query = match number {
                Some(number) => query.bind(number),
                None => query,
            };
            query.execute(pool).await.map(|done| done.rows_affected())
        })?;
        if removed > 0 {
            tracing::info!(table, removed, "removed what was not used for the longest time");
        }
        Ok(())
    }
}
