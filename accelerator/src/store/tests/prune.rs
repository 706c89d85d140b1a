//! What is not used any more goes.

use super::Place;
use crate::plan::Delta;
use crate::store::{Pool, Store, StoreError};
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

#[tokio::test]
async fn sqlite_keeps_what_was_used_last() {
    what_was_used_last_stays(&Place::sqlite()).await;
}

#[tokio::test]
#[ignore = "tests/tests/database.rs runs it"]
async fn postgres_keeps_what_was_used_last() {
    what_was_used_last_stays(&Place::postgres("last").await).await;
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
