//! Sketches of an image's contents: those of its layers.

use super::{Pool, Store, StoreError};
use crate::sketch::Sketched;
use skiff_protocol::Digest;

impl Store {
    /// The sketches of the contents in the layers of the image with this manifest, as far as they are known: none of an image, and
    /// none of a layer, that was read before sketches were made.
    pub async fn sketches(&self, manifest: Digest) -> Result<Sketched, StoreError> {
        let sql = "SELECT layers FROM images WHERE manifest = $1";
        let row = either!(self, |pool| sqlx::query_as(sql)
            .bind(&manifest.0[..])
            .fetch_optional(pool)
            .await)?;
        let mut sketched = Sketched::default();
        let Some((Some(layers),)): Option<(Option<Vec<u8>>,)> = row else { return Ok(sketched) };
        for layer in layers.as_chunks::<32>().0 {
            let sql = "SELECT sketches FROM layers WHERE digest = $1";
            let row = either!(self, |pool| sqlx::query_as(sql)
                .bind(&layer[..])
                .fetch_optional(pool)
                .await)?;
            if let Some((Some(sketches),)) = row {
                let sketches: Vec<u8> = sketches;
                sketched.append(Sketched::decode(&sketches));
            }
        }
        Ok(sketched)
    }
}
