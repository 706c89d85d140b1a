//! What is not used any more goes.

use super::{Place, layer};
use crate::hot::Listed;
use crate::plan::Delta;
use crate::store::{Pool, Store, StoreError};
use crate::tree::Tree;
use skiff_protocol::Digest;

/// Rows with these numbers as names and digests, all used once, long ago, the higher ones later.
async fn put_old_rows(store: &Store, numbers: std::ops::Range<u8>) {
    for number in numbers {
        let key = Digest([number; 32]);
        store.put_plan(key, vec![number]).await.unwrap();
        store.put_state(key, &number.to_string()).await.unwrap();
        let delta = Delta { parent: None, child: key, entries: 1, content_bytes: 1 };
        store.put_delta(&delta).await.unwrap();
        for (table, column) in [("plans", "id"), ("states", "tree_digest"), ("deltas", "child")] {
            let sql = format!("UPDATE {table} SET used = $1 WHERE {column} = $2");
            let sql = sqlx::AssertSqlSafe(sql);
            let used = i64::from(number);
            either!(store, |pool| sqlx::query(sql)
                .bind(used)
                .bind(&key.0[..])
                .execute(pool)
                .await
                .map(drop))
            .unwrap();
        }
    }
}

async fn what_was_used_last_stays(place: &Place) {
    let store = place.open().await.unwrap();
    put_old_rows(&store, 1..7).await;
    // The oldest one is used again.
    let again = Digest([1; 32]);
    store.put_plan(again, vec![1]).await.unwrap();
    store.put_state(again, "1").await.unwrap();
    let delta = Delta { parent: None, child: again, entries: 1, content_bytes: 1 };
    store.put_delta(&delta).await.unwrap();
    store.prune(9).await.unwrap();
    assert_eq!(store.names_after("", 9).await.unwrap().len(), 6, "there is room for all");

    store.prune(3).await.unwrap();
    assert_eq!(store.names_after("", 9).await.unwrap(), ["1", "5", "6"]);
    let graph = store.graph().await.unwrap();
    let children: Vec<_> = graph.deltas.iter().map(|delta| delta.child.0[0]).collect();
    assert_eq!(children, [1, 5, 6]);
    let sql = "SELECT inputs FROM plans ORDER BY inputs";
    let plans: Vec<Vec<u8>> =
        either!(store, |pool| sqlx::query_scalar(sql).fetch_all(pool).await).unwrap();
    assert_eq!(plans, [[1], [5], [6]]);
}

/// Images, layers and bases, all used once, long ago, the higher ones later, but for the first.
async fn so_do_images_layers_and_bases(place: &Place) {
    let store = place.open().await.unwrap();
    let tree = Tree::default();
    for number in 1..35 {
        let key = Digest([number; 32]);
        store.put_layer(key, &layer(Some(b"index"))).await.unwrap();
        store.put_tree(key, &tree, key, &[]).await.unwrap();
        store.put_base(key, &tree).await.unwrap();
        store.put_prediction(key, 1, &Listed::default()).await.unwrap();
        let sql = "UPDATE uses SET used = $1 WHERE digest = $2";
        let used = i64::from(number);
        either!(store, |pool| sqlx::query(sql)
            .bind(used)
            .bind(&key.0[..])
            .execute(pool)
            .await
            .map(drop))
        .unwrap();
    }
    let first = Digest([1; 32]);
    assert!(store.tree(first).await.unwrap().is_some());
    assert!(store.base(first).await.unwrap().is_some());
    assert!(store.layer(first).await.unwrap().is_some());
    store.prune(3).await.unwrap();
    let (mut layers, mut images, mut bases, mut predictions) = (vec![], vec![], vec![], vec![]);
    for number in 1..35 {
        let key = Digest([number; 32]);
        layers.extend(store.layer(key).await.unwrap().map(|_| number));
        images.extend(store.tree(key).await.unwrap().map(|_| number));
        bases.extend(store.base(key).await.unwrap().map(|_| number));
        predictions.extend(store.prediction(key, 1).await.unwrap().map(|_| number));
    }
    assert_eq!(images, [1, 33, 34]);
    assert_eq!(bases, images);
    assert_eq!(predictions, images);
    assert_eq!(layers, [1].into_iter().chain(6..35).collect::<Vec<_>>(), "ten for an image");
    let sql = "SELECT COUNT(*) FROM uses";
    let uses: i64 = either!(store, |pool| sqlx::query_scalar(sql).fetch_one(pool).await).unwrap();
    assert_eq!(uses, 36);
}

#[tokio::test]
async fn sqlite_keeps_what_was_used_last() {
    what_was_used_last_stays(&Place::sqlite()).await;
    so_do_images_layers_and_bases(&Place::sqlite()).await;
}

#[tokio::test]
#[ignore = "tests/tests/database.rs runs it"]
async fn postgres_keeps_what_was_used_last() {
    what_was_used_last_stays(&Place::postgres("last").await).await;
    so_do_images_layers_and_bases(&Place::postgres("last_images").await).await;
}

/// More than are kept, put as deployments put them, by a program that was started anew.
#[tokio::test]
async fn plans_do_not_grow_without_bound() {
    let place = Place::sqlite();
    let sql = "WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 10500) \
               INSERT INTO plans (id, inputs) SELECT randomblob(32), x'00' FROM n";
    let store = place.open().await.unwrap();
    either!(store, |pool| sqlx::query(sql).execute(pool).await.map(drop)).unwrap();
    drop(store);
    let store = place.open().await.unwrap();
    store.put_plan(Digest([1; 32]), Vec::new()).await.unwrap();
    let sql = "SELECT COUNT(*) FROM plans";
    let count: i64 = either!(store, |pool| sqlx::query_scalar(sql).fetch_one(pool).await).unwrap();
    assert_eq!(count, 10_000);
    let sql = "SELECT COUNT(*) FROM plans WHERE used > 0";
    let new: i64 = either!(store, |pool| sqlx::query_scalar(sql).fetch_one(pool).await).unwrap();
    assert_eq!(new, 1);
}
