//! Bounds of what grows with every deployment: plans, names of states, deltas. Of each, the [`KEPT`] that were used
//! last stay; one that is planned again counts as used then.
//!
//! Nothing is wrong without the others: a plan is made anew from its images, a delta's bytes are measured
//! anew, and a name that no device has asked for in so many deployments is not looked at by `--poll` until one
//! does. What applications name is in a table of its own, which only its commands change.
//!
//! Last uses are noted by the hour, so that a deployment like the one before writes nothing.

use super::{Pool, Store, StoreError};
use crate::causes::chain;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{SystemTime, UNIX_EPOCH};

/// Rows of each of the tables.
const KEPT: i64 = 10_000;
/// How many plans are put until the tables are looked at again: so many rows more there may be, for each
/// accelerator with this database.
const EVERY: u64 = 1000;
/// How old a last use is, at least, when it is noted anew, in milliseconds.
pub(super) const NOTED: i64 = 3_600_000;

/// The tables with their keys.
const TABLES: [(&str, &str); 3] =
    [("plans", "id"), ("states", "tree_digest, name"), ("deltas", "parent, child")];

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

    /// Removes all but the rows of each table that were used last.
    pub(super) async fn prune(&self, kept: i64) -> Result<(), StoreError> {
        for (table, key) in TABLES {
            // Both databases take a huge limit, and an offset needs one.
            let sql = format!(
                "DELETE FROM {table} WHERE ({key}) IN \
                 (SELECT {key} FROM {table} ORDER BY used DESC, {key} LIMIT {} OFFSET $1)",
                i64::MAX
            );
            // Nothing of it comes from outside.
            let sql = sqlx::AssertSqlSafe(sql);
            let removed = either!(self, |pool| sqlx::query(sql)
                .bind(kept)
                .execute(pool)
                .await
                .map(|done| done.rows_affected()))?;
            if removed > 0 {
                tracing::info!(table, removed, "removed what was not used for the longest time");
            }
        }
        Ok(())
    }
}
