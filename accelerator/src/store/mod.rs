//! The metadata database: SQLite, in `DATA/metadata.db`.
//!
//! Only metadata are kept, never contents: what each layer holds, each image's merged tree, and the
//! inputs of plans. All of it can be made anew from the registry, but plans that devices resume.

use crate::layer::AppliedLayer;
use crate::tree::{DecodeError, Tree};
use skiff_protocol::Digest;
use sqlx::Row as _;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The database fails.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// It can't be opened.
    #[error("the metadata database {} can't be opened", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A query fails.
    #[error("the metadata database fails")]
    Query(#[source] sqlx::Error),
    /// What stands in it can't be read.
    #[error("the metadata of {digest} are damaged; remove the data directory and ingest again")]
    Damaged {
        /// Layer or image.
        digest: Digest,
        /// Why.
        source: DecodeError,
    },
}

/// The database.
#[derive(Debug, Clone)]
pub struct Store {
    pool: SqlitePool,
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
}

impl Store {
    /// Opens the database in a directory, and brings it up to date.
    pub async fn open(directory: &Path) -> Result<Self, StoreError> {
        let path = directory.join("metadata.db");
        let failed = |source: Box<dyn std::error::Error + Send + Sync>| StoreError::Open {
            path: path.clone(),
            source,
        };
        let options = SqliteConnectOptions::new()
            .filename(&path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .busy_timeout(Duration::from_secs(30));
        let pool = SqlitePoolOptions::new()
            .max_connections(4)
            .connect_with(options)
            .await
            .map_err(|error| failed(error.into()))?;
        sqlx::migrate!().run(&pool).await.map_err(|error| failed(error.into()))?;
        Ok(Self { pool })
    }

    /// What is known of the layer with this blob digest.
    pub async fn layer(&self, digest: Digest) -> Result<Option<StoredLayer>, StoreError> {
        let row = sqlx::query("SELECT diff_id, size, applied FROM layers WHERE digest = $1")
            .bind(digest.0.to_vec())
            .fetch_optional(&self.pool)
            .await
            .map_err(StoreError::Query)?;
        let Some(row) = row else { return Ok(None) };
        let applied = AppliedLayer::decode(&row.get::<Vec<u8>, _>(2))
            .map_err(|source| StoreError::Damaged { digest, source })?;
        let size = u64::try_from(row.get::<i64, _>(1)).unwrap_or(0);
        Ok(Some(StoredLayer { diff_id: digest_of(&row.get::<Vec<u8>, _>(0)), size, applied }))
    }

    /// Keeps what is known of a layer.
    pub async fn put_layer(&self, digest: Digest, layer: &StoredLayer) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO layers (digest, diff_id, size, applied) VALUES ($1, $2, $3, $4) \
             ON CONFLICT (digest) DO NOTHING",
        )
        .bind(digest.0.to_vec())
        .bind(layer.diff_id.0.to_vec())
        .bind(i64::try_from(layer.size).unwrap_or(i64::MAX))
        .bind(layer.applied.encode())
        .execute(&self.pool)
        .await
        .map(|_| ())
        .map_err(StoreError::Query)
    }

    /// The tree of the image with this manifest, and its digest.
    pub async fn tree(&self, manifest: Digest) -> Result<Option<(Tree, Digest)>, StoreError> {
        let row = sqlx::query("SELECT tree, tree_digest FROM images WHERE manifest = $1")
            .bind(manifest.0.to_vec())
            .fetch_optional(&self.pool)
            .await
            .map_err(StoreError::Query)?;
        let Some(row) = row else { return Ok(None) };
        let tree = Tree::decode(&row.get::<Vec<u8>, _>(0))
            .map_err(|source| StoreError::Damaged { digest: manifest, source })?;
        Ok(Some((tree, digest_of(&row.get::<Vec<u8>, _>(1)))))
    }

    /// Keeps an image's tree.
    pub async fn put_tree(
        &self,
        manifest: Digest,
        tree: &Tree,
        digest: Digest,
    ) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO images (manifest, tree, tree_digest) VALUES ($1, $2, $3) \
             ON CONFLICT (manifest) DO NOTHING",
        )
        .bind(manifest.0.to_vec())
        .bind(tree.encode())
        .bind(digest.0.to_vec())
        .execute(&self.pool)
        .await
        .map(|_| ())
        .map_err(StoreError::Query)
    }

    /// Keeps a plan's inputs.
    pub async fn put_plan(&self, id: Digest, inputs: Vec<u8>) -> Result<(), StoreError> {
        sqlx::query("INSERT INTO plans (id, inputs) VALUES ($1, $2) ON CONFLICT (id) DO NOTHING")
            .bind(id.0.to_vec())
            .bind(inputs)
            .execute(&self.pool)
            .await
            .map(|_| ())
            .map_err(StoreError::Query)
    }
}

fn digest_of(bytes: &[u8]) -> Digest {
    Digest(bytes.first_chunk::<32>().copied().unwrap_or_default())
}
