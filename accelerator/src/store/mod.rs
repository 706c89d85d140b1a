//! The metadata database: SQLite, in `DATA/metadata.db`, or PostgreSQL, which several accelerators
//! share.
//!
//! Only metadata are kept, never contents: what each layer holds, each image's merged tree, and the
//! inputs of plans. All of it can be made anew from the registry, but plans that devices resume. Of what
//! grows, the rows that were used last are kept (`prune`).
//!
//! The two databases have the same tables and take the same SQL: `either!` has each query compiled for
//! both.

mod claim;
mod error;
#[macro_use]
mod either;
mod graph;
pub mod hot;
mod open;
mod prune;
mod sketches;
mod url;

pub use claim::Claim;
pub use error::StoreError;
pub use url::{PostgresUrl, UrlError};

use crate::layer::AppliedLayer;
use crate::seek::Index;
use crate::tree::Tree;
use claim::Claims;
use prune::Kind;
use skiff_protocol::Digest;
use sqlx::postgres::PgPool;
use sqlx::sqlite::SqlitePool;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

/// The database.
#[derive(Debug, Clone)]
pub struct Store {
    pool: Pool,
    claims: Claims,
    /// Plans that were put since the start.
    plans_put: Arc<AtomicU64>,
}

#[derive(Debug, Clone)]
enum Pool {
    Sqlite(SqlitePool),
    Postgres(PgPool),
}

/// What is known of a layer.
#[derive(Debug, Clone)]
pub struct StoredLayer {
    /// SHA-256 of the uncompressed tar.
    pub diff_id: Digest,
    /// Bytes of the uncompressed tar.
    pub size: u64,
    /// What it holds.
    pub applied: AppliedLayer,
    /// Where the blob can be entered (an encoded seek index), if that is known.
    pub index: Option<Vec<u8>>,
    /// The sketches of its contents (encoded), if they are known.
    pub sketches: Option<Vec<u8>>,
}

impl Store {
    /// Claims a layer, so that of all accelerators with this database only one reads it. Whoever gets
    /// the claim looks first whether the layer is there by now.
    pub async fn claim(&self, digest: Digest) -> Result<Claim, StoreError> {
        self.claims.claim(digest).await
    }

    /// What is known of the layer with this blob digest.
    pub async fn layer(&self, digest: Digest) -> Result<Option<StoredLayer>, StoreError> {
        let sql =
            "SELECT diff_id, size, applied, seek_index, sketches FROM layers WHERE digest = $1";
        let row = either!(self, |pool| sqlx::query_as(sql)
            .bind(&digest.0[..])
            .fetch_optional(pool)
            .await)?;
        let Some((diff_id, size, applied, index, sketches)) = row else { return Ok(None) };
        let (diff_id, size, applied): (Vec<u8>, i64, Vec<u8>) = (diff_id, size, applied);
        let applied = AppliedLayer::decode(&applied)
            .map_err(|source| StoreError::Damaged { digest, source })?;
        let size = u64::try_from(size).unwrap_or(0);
        self.note_use(Kind::Layers, digest).await;
        let diff_id = digest_of(&diff_id);
        Ok(Some(StoredLayer { diff_id, size, applied, index, sketches }))
    }

    /// The seek index of the layer with this blob digest, if it has one.
    pub async fn index(&self, digest: Digest) -> Result<Option<Index>, StoreError> {
        let sql = "SELECT seek_index FROM layers WHERE digest = $1";
        let row = either!(self, |pool| sqlx::query_as(sql)
            .bind(&digest.0[..])
            .fetch_optional(pool)
            .await)?;
        let Some((Some(index),)): Option<(Option<Vec<u8>>,)> = row else { return Ok(None) };
        self.note_use(Kind::Layers, digest).await;
        // One of another version counts as none: the layer's tar is read instead.
        Ok(Index::decode(&index).ok())
    }

    /// Keeps what is known of a layer. Of one that is there already, only what is missing is filled in: index and sketches.
    pub async fn put_layer(&self, digest: Digest, layer: &StoredLayer) -> Result<(), StoreError> {
        let sql = "INSERT INTO layers (digest, diff_id, size, applied, seek_index, sketches) \
             VALUES ($1, $2, $3, $4, $5, $6) \
             ON CONFLICT (digest) DO UPDATE SET \
             seek_index = COALESCE(layers.seek_index, excluded.seek_index), \
             sketches = COALESCE(layers.sketches, excluded.sketches) \
             WHERE layers.seek_index IS NULL OR layers.sketches IS NULL";
        let size = i64::try_from(layer.size).unwrap_or(i64::MAX);
        let applied = layer.applied.encode();
        either!(self, |pool| sqlx::query(sql)
            .bind(&digest.0[..])
            .bind(&layer.diff_id.0[..])
            .bind(size)
            .bind(&applied)
            .bind(layer.index.as_deref())
            .bind(layer.sketches.as_deref())
            .execute(pool)
            .await
            .map(drop))?;
        self.note_use(Kind::Layers, digest).await;
        Ok(())
    }

    /// The tree of the image with this manifest, and its digest.
    pub async fn tree(&self, manifest: Digest) -> Result<Option<(Tree, Digest)>, StoreError> {
        let sql = "SELECT tree, tree_digest FROM images WHERE manifest = $1";
        let row = either!(self, |pool| sqlx::query_as(sql)
            .bind(&manifest.0[..])
            .fetch_optional(pool)
            .await)?;
        let Some((tree, digest)): Option<(Vec<u8>, Vec<u8>)> = row else { return Ok(None) };
        let tree = Tree::decode(&tree)
            .map_err(|source| StoreError::Damaged { digest: manifest, source })?;
        self.note_use(Kind::Images, manifest).await;
        Ok(Some((tree, digest_of(&digest))))
    }

    /// Keeps an image's tree, and which layers it has.
    pub async fn put_tree(
        &self,
        manifest: Digest,
        tree: &Tree,
        digest: Digest,
        layers: &[Digest],
    ) -> Result<(), StoreError> {
        let sql = "INSERT INTO images (manifest, tree, tree_digest, layers) VALUES ($1, $2, $3, $4) \
             ON CONFLICT (manifest) DO NOTHING";
        let tree = tree.encode();
        let layers: Vec<u8> = layers.iter().flat_map(|layer| layer.0).collect();
        either!(self, |pool| sqlx::query(sql)
            .bind(&manifest.0[..])
            .bind(&tree)
            .bind(&digest.0[..])
            .bind(&layers)
            .execute(pool)
            .await
            .map(drop))?;
        self.note_use(Kind::Images, manifest).await;
        Ok(())
    }

    /// Keeps a plan's inputs.
    pub async fn put_plan(&self, id: Digest, inputs: Vec<u8>) -> Result<(), StoreError> {
        let sql = "INSERT INTO plans (id, inputs, used) VALUES ($1, $2, $3) \
             ON CONFLICT (id) DO UPDATE SET used = excluded.used WHERE plans.used < $4";
        let now = prune::now();
        either!(self, |pool| sqlx::query(sql)
            .bind(&id.0[..])
            .bind(&inputs)
            .bind(now)
            .bind(now - prune::NOTED)
            .execute(pool)
            .await
            .map(drop))?;
        self.prune_now_and_then().await;
        Ok(())
    }
}

fn digest_of(bytes: &[u8]) -> Digest {
    Digest(bytes.first_chunk::<32>().copied().unwrap_or_default())
}

#[cfg(test)]
mod tests;
