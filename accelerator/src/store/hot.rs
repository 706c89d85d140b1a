//! Hot sets, and the inputs of plans.

use super::{Pool, Store, StoreError};
use crate::hot::{Listed, Subject};
use skiff_protocol::Digest;

/// Reports of one subject, platform and class that are kept.
pub const REPORTS: i64 = 8;

/// Reports of one subject that are kept, of whatever platforms and classes devices may say.
const OF_SUBJECT: i64 = 128;

/// A report or a set that was said by hand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// Its platform; empty for what was said by hand, which is for all.
    pub platform: String,
    /// Its class.
    pub class: String,
    /// What it lists.
    pub listed: Listed,
}

impl Store {
    /// The inputs of a plan, encoded.
    pub async fn plan(&self, id: Digest) -> Result<Option<Vec<u8>>, StoreError> {
        let sql = "SELECT inputs FROM plans WHERE id = $1";
        let row =
            either!(self, |pool| sqlx::query_as(sql).bind(&id.0[..]).fetch_optional(pool).await)?;
        Ok(row.map(|(inputs,): (Vec<u8>,)| inputs))
    }

    /// Keeps what a device reports; of many reports the last few. `number` is the time, so that
    /// later ones have higher numbers.
    pub async fn put_trace(
        &self,
        subject: &Subject,
        platform: &str,
        class: &str,
        number: i64,
        listed: &Listed,
    ) -> Result<(), StoreError> {
        let subject = subject.to_string();
        let items = listed.encode();
        let sql = "INSERT INTO traces (subject, platform, class, number, items) \
             VALUES ($1, $2, $3, $4, $5) ON CONFLICT (subject, platform, class, number) \
             DO UPDATE SET items = excluded.items";
        either!(self, |pool| sqlx::query(sql)
            .bind(&subject)
            .bind(platform)
            .bind(class)
            .bind(number)
            .bind(&items)
            .execute(pool)
            .await
            .map(drop))?;
        let sql = "DELETE FROM traces WHERE subject = $1 AND platform = $2 AND class = $3 \
             AND number NOT IN (SELECT number FROM traces WHERE subject = $1 AND platform = $2 \
             AND class = $3 ORDER BY number DESC LIMIT $4)";
        either!(self, |pool| sqlx::query(sql)
            .bind(&subject)
            .bind(platform)
            .bind(class)
            .bind(REPORTS)
            .execute(pool)
            .await
            .map(drop))?;
        let sql = "DELETE FROM traces WHERE subject = $1 AND number NOT IN \
             (SELECT number FROM traces WHERE subject = $1 ORDER BY number DESC LIMIT $2)";
        either!(self, |pool| sqlx::query(sql)
            .bind(&subject)
            .bind(OF_SUBJECT)
            .execute(pool)
            .await
            .map(drop))
    }

    /// The reports of a subject, the first first.
    pub async fn traces(&self, subject: &Subject) -> Result<Vec<Kept>, StoreError> {
        let sql = "SELECT platform, class, items FROM traces WHERE subject = $1 ORDER BY number";
        let rows: Vec<(String, String, Vec<u8>)> = either!(self, |pool| sqlx::query_as(sql)
            .bind(subject.to_string())
            .fetch_all(pool)
            .await)?;
        Ok(rows.into_iter().filter_map(kept).collect())
    }

    /// Says by hand what is hot.
    pub async fn put_hot_set(
        &self,
        subject: &Subject,
        class: &str,
        listed: &Listed,
    ) -> Result<(), StoreError> {
        let sql = "INSERT INTO hot_sets (subject, class, items) VALUES ($1, $2, $3) \
             ON CONFLICT (subject, class) DO UPDATE SET items = excluded.items";
        let items = listed.encode();
        either!(self, |pool| sqlx::query(sql)
            .bind(subject.to_string())
            .bind(class)
            .bind(&items)
            .execute(pool)
            .await
            .map(drop))
    }

    /// What was said of a subject by hand, by class.
    pub async fn hot_sets(&self, subject: &Subject) -> Result<Vec<Kept>, StoreError> {
        let sql = "SELECT class, items FROM hot_sets WHERE subject = $1 ORDER BY class";
        let rows: Vec<(String, Vec<u8>)> = either!(self, |pool| sqlx::query_as(sql)
            .bind(subject.to_string())
            .fetch_all(pool)
            .await)?;
        Ok(rows
            .into_iter()
            .filter_map(|(class, items)| kept((String::new(), class, items)))
            .collect())
    }

    /// Forgets what was said and reported of a subject for a class; whether there was anything.
    pub async fn remove_hot(&self, subject: &Subject, class: &str) -> Result<bool, StoreError> {
        let mut removed = 0;
        for sql in [
            "DELETE FROM hot_sets WHERE subject = $1 AND class = $2",
            "DELETE FROM traces WHERE subject = $1 AND class = $2",
        ] {
            removed += either!(self, |pool| sqlx::query(sql)
                .bind(subject.to_string())
                .bind(class)
                .execute(pool)
                .await
                .map(|done| done.rows_affected()))?;
        }
        Ok(removed > 0)
    }

    /// What this version of the predictor has said of an image.
    pub async fn prediction(
        &self,
        manifest: Digest,
        version: i64,
    ) -> Result<Option<Listed>, StoreError> {
        let sql = "SELECT items FROM predictions WHERE manifest = $1 AND version = $2";
        let row = either!(self, |pool| sqlx::query_as(sql)
            .bind(&manifest.0[..])
            .bind(version)
            .fetch_optional(pool)
            .await)?;
        Ok(row.and_then(|(items,): (Vec<u8>,)| Listed::decode(&items)))
    }

    /// Keeps what this version of the predictor says of an image.
    pub async fn put_prediction(
        &self,
        manifest: Digest,
        version: i64,
        listed: &Listed,
    ) -> Result<(), StoreError> {
        let sql = "INSERT INTO predictions (manifest, version, items) VALUES ($1, $2, $3) \
             ON CONFLICT (manifest) DO UPDATE SET version = excluded.version, items = excluded.items";
        let items = listed.encode();
        either!(self, |pool| sqlx::query(sql)
            .bind(&manifest.0[..])
            .bind(version)
            .bind(&items)
            .execute(pool)
            .await
            .map(drop))
    }
}

/// What can't be read any more, because another version wrote it, counts as not there.
fn kept((platform, class, items): (String, String, Vec<u8>)) -> Option<Kept> {
    Some(Kept { platform, class, listed: Listed::decode(&items)? })
}
