//! Applications, base layers, and the graph of states and deltas.

use super::prune::Kind;
use super::{Pool, Store, StoreError, digest_of, prune};
use crate::graph::{Arrow, Graph, State};
use crate::plan::Delta;
use crate::reference::Reference;
use crate::tree::Tree;
use skiff_protocol::Digest;
use skiff_protocol::request::Codecs;
use std::collections::BTreeMap;

/// Parent, child, entries, bytes of contents, bytes sent.
type DeltaRow = (Vec<u8>, Vec<u8>, i64, i64, Option<i64>);

impl Store {
    /// The images of an application, in its order.
    pub async fn application(&self, name: &str) -> Result<Option<Vec<String>>, StoreError> {
        let sql = "SELECT images FROM applications WHERE name = $1";
        let row = either!(self, |pool| sqlx::query_as(sql).bind(name).fetch_optional(pool).await)?;
        Ok(row.map(|(images,): (String,)| lines(&images)))
    }

    /// All applications with their images, by name.
    pub async fn applications(&self) -> Result<Vec<(String, Vec<String>)>, StoreError> {
        let sql = "SELECT name, images FROM applications ORDER BY name";
        let rows: Vec<(String, String)> =
            either!(self, |pool| sqlx::query_as(sql).fetch_all(pool).await)?;
        Ok(rows.into_iter().map(|(name, images)| (name, lines(&images))).collect())
    }

    /// Says what an application is from now on.
    pub async fn put_application(&self, name: &str, images: &[String]) -> Result<(), StoreError> {
        let sql = "INSERT INTO applications (name, images) VALUES ($1, $2) \
             ON CONFLICT (name) DO UPDATE SET images = excluded.images";
        let images = images.join("\n");
        either!(self, |pool| sqlx::query(sql)
            .bind(name)
            .bind(&images)
            .execute(pool)
            .await
            .map(drop))
    }

    /// Forgets an application; whether there was one.
    pub async fn remove_application(&self, name: &str) -> Result<bool, StoreError> {
        let sql = "DELETE FROM applications WHERE name = $1";
        let removed = either!(self, |pool| sqlx::query(sql)
            .bind(name)
            .execute(pool)
            .await
            .map(|done| done.rows_affected()))?;
        Ok(removed > 0)
    }

    /// The tree of a base layer.
    pub async fn base(&self, digest: Digest) -> Result<Option<Tree>, StoreError> {
        let sql = "SELECT tree FROM bases WHERE tree_digest = $1";
        let row = either!(self, |pool| sqlx::query_as(sql)
            .bind(&digest.0[..])
            .fetch_optional(pool)
            .await)?;
        let Some((tree,)): Option<(Vec<u8>,)> = row else { return Ok(None) };
        let tree = Tree::decode(&tree);
        let tree = tree.map_err(|source| StoreError::Damaged { digest, source })?;
        self.note_use(Kind::Bases, digest).await;
        Ok(Some(tree))
    }

    /// Keeps the tree of a base layer.
    pub async fn put_base(&self, digest: Digest, tree: &Tree) -> Result<(), StoreError> {
        let sql = "INSERT INTO bases (tree_digest, tree) VALUES ($1, $2) \
             ON CONFLICT (tree_digest) DO NOTHING";
        let tree = tree.encode();
        either!(self, |pool| sqlx::query(sql)
            .bind(&digest.0[..])
            .bind(&tree)
            .execute(pool)
            .await
            .map(drop))?;
        self.note_use(Kind::Bases, digest).await;
        Ok(())
    }

    /// Gives a state a name, beside others that it has.
    pub async fn put_state(&self, tree: Digest, name: &str) -> Result<(), StoreError> {
        let sql = "INSERT INTO states (tree_digest, name, used) VALUES ($1, $2, $3) \
             ON CONFLICT (tree_digest, name) DO UPDATE SET used = excluded.used \
             WHERE states.used < $4";
        let now = prune::now();
        either!(self, |pool| sqlx::query(sql)
            .bind(&tree.0[..])
            .bind(name)
            .bind(now)
            .bind(now - prune::NOTED)
            .execute(pool)
            .await
            .map(drop))
    }

    /// Names of a state, some of them if they are many.
    pub async fn names_of(&self, tree: Digest) -> Result<Vec<String>, StoreError> {
        let sql = "SELECT name FROM states WHERE tree_digest = $1 ORDER BY used DESC LIMIT 100";
        let rows: Vec<(String,)> =
            either!(self, |pool| sqlx::query_as(sql).bind(&tree.0[..]).fetch_all(pool).await)?;
        Ok(rows.into_iter().map(|(name,)| name).collect())
    }

    /// Manifests of images that devices got from the repository of a name, at most so many: those of this name first, of these
    /// the last, and none that shows this tree.
    pub async fn deployed(
        &self,
        name: &Reference,
        but: Digest,
        most: usize,
    ) -> Result<Vec<Digest>, StoreError> {
        let sql = "SELECT images.manifest FROM states \
             JOIN images ON images.tree_digest = states.tree_digest \
             WHERE SUBSTR(states.name, 1, CAST(CAST($1 AS BIGINT) AS INTEGER)) = $2 AND states.tree_digest <> $3 \
             ORDER BY CASE WHEN states.name = $4 THEN 0 ELSE 1 END, states.used DESC LIMIT $5";
        let tags = format!("{}:", name.repository);
        let rows: Vec<(Vec<u8>,)> = either!(self, |pool| sqlx::query_as(sql)
            .bind(i64::try_from(tags.chars().count()).unwrap_or(i64::MAX))
            .bind(&tags)
            .bind(&but.0[..])
            .bind(name.to_string())
            .bind(i64::try_from(most).unwrap_or(i64::MAX))
            .fetch_all(pool)
            .await)?;
        Ok(rows.into_iter().map(|(manifest,)| digest_of(&manifest)).collect())
    }

    /// Names of states after this one, at most so many, in the database's order.
    pub async fn names_after(&self, name: &str, most: usize) -> Result<Vec<String>, StoreError> {
        let sql = "SELECT DISTINCT name FROM states WHERE name > $1 ORDER BY name LIMIT $2";
        let rows: Vec<(String,)> = either!(self, |pool| sqlx::query_as(sql)
            .bind(name)
            .bind(i64::try_from(most).unwrap_or(i64::MAX))
            .fetch_all(pool)
            .await)?;
        Ok(rows.into_iter().map(|(name,)| name).collect())
    }

    /// Keeps a delta; one that is known stays as it is.
    pub async fn put_delta(&self, delta: &Delta) -> Result<(), StoreError> {
        let sql = "INSERT INTO deltas (parent, child, entries, content_bytes, used) \
             VALUES ($1, $2, $3, $4, $5) ON CONFLICT (parent, child) DO UPDATE SET \
             used = excluded.used WHERE deltas.used < $6";
        let now = prune::now();
        either!(self, |pool| sqlx::query(sql)
            .bind(parent(delta))
            .bind(&delta.child.0[..])
            .bind(i64::try_from(delta.entries).unwrap_or(i64::MAX))
            .bind(i64::try_from(delta.content_bytes).unwrap_or(i64::MAX))
            .bind(now)
            .bind(now - prune::NOTED)
            .execute(pool)
            .await
            .map(drop))
    }

    /// Remembers how many bytes a delta took on the wire, in packs of these codecs.
    pub async fn measured(
        &self,
        delta: &Delta,
        codecs: Codecs,
        bytes: u64,
    ) -> Result<(), StoreError> {
        let sql = "INSERT INTO sent (parent, child, codecs, bytes) \
             SELECT parent, child, CAST($1 AS BIGINT), CAST($2 AS BIGINT) FROM deltas \
             WHERE parent = $3 AND child = $4 \
             ON CONFLICT (parent, child, codecs) DO UPDATE SET bytes = excluded.bytes";
        either!(self, |pool| sqlx::query(sql)
            .bind(i64::from(codecs.0))
            .bind(i64::try_from(bytes).unwrap_or(i64::MAX))
            .bind(parent(delta))
            .bind(&delta.child.0[..])
            .execute(pool)
            .await
            .map(drop))
    }

    /// How many bytes a delta took on the wire, in packs of these codecs, if that was measured.
    pub async fn sent_bytes(
        &self,
        delta: &Delta,
        codecs: Codecs,
    ) -> Result<Option<u64>, StoreError> {
        let sql = "SELECT bytes FROM sent WHERE parent = $1 AND child = $2 AND codecs = $3";
        let row: Option<(i64,)> = either!(self, |pool| sqlx::query_as(sql)
            .bind(parent(delta))
            .bind(&delta.child.0[..])
            .bind(i64::from(codecs.0))
            .fetch_optional(pool)
            .await)?;
        Ok(row.and_then(|(bytes,)| u64::try_from(bytes).ok()))
    }

    /// The whole graph.
    pub async fn graph(&self) -> Result<Graph, StoreError> {
        let sql = "SELECT tree_digest, name FROM states ORDER BY name";
        let names: Vec<(Vec<u8>, String)> =
            either!(self, |pool| sqlx::query_as(sql).fetch_all(pool).await)?;
        let sql = "SELECT parent, child, entries, content_bytes, (SELECT MIN(bytes) FROM sent \
             WHERE sent.parent = deltas.parent AND sent.child = deltas.child) \
             FROM deltas ORDER BY parent, child";
        let rows: Vec<DeltaRow> = either!(self, |pool| sqlx::query_as(sql).fetch_all(pool).await)?;
        let mut states: BTreeMap<Digest, State> = BTreeMap::new();
        let state = |states: &mut BTreeMap<Digest, State>, tree: &[u8], name: Option<String>| {
            let tree = digest_of(tree);
            let known = states.entry(tree).or_insert_with(|| State { tree, names: Vec::new() });
            known.names.extend(name);
            tree
        };
        for (tree, name) in names {
            state(&mut states, &tree, Some(name));
        }
        let mut deltas = Vec::new();
        for (parent, child, entries, content_bytes, sent_bytes) in rows {
            let number = |number| u64::try_from(number).unwrap_or(0);
            let parent = (!parent.is_empty()).then(|| state(&mut states, &parent, None));
            let child = state(&mut states, &child, None);
            deltas.push(Arrow {
                parent,
                child,
                entries: number(entries),
                content_bytes: number(content_bytes),
                sent_bytes: sent_bytes.map(number),
            });
        }
        Ok(Graph { states: states.into_values().collect(), deltas })
    }
}

fn lines(text: &str) -> Vec<String> {
    text.lines().map(str::to_owned).collect()
}

fn parent(delta: &Delta) -> &[u8] {
    delta.parent.as_ref().map_or(&[], |parent| &parent.0[..])
}
