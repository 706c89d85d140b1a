//! The store, on SQLite and on PostgreSQL. The latter's tests are those that are ignored here: they
//! need a server (`SKIFF_TEST_DATABASE`), and `tests/tests/database.rs` starts one and runs them.

mod prune;

use super::{Pool, PostgresUrl, Store, StoreError, StoredLayer};
use crate::causes::chain;
use crate::hot::{Item, Listed, Subject};
use crate::layer::AppliedLayer;
use crate::plan::Delta;
use crate::reference::Reference;
use crate::sketch::{SLOTS, Sketch, Sketched};
use crate::tree::Tree;
use skiff_protocol::Digest;
use skiff_protocol::request::Codecs;
use sqlx::migrate::MigrateDatabase as _;
use std::path::Path;
use std::time::Duration;
use tokio::time::timeout;

/// A database that nobody else uses.
enum Place {
    Sqlite(tempfile::TempDir),
    Postgres(PostgresUrl),
}

impl Place {
    fn sqlite() -> Self {
        Self::Sqlite(tempfile::tempdir().unwrap())
    }

    /// A new one on the server, under the test's name.
    async fn postgres(name: &str) -> Self {
        let server = std::env::var("SKIFF_TEST_DATABASE").unwrap();
        let (server, _) = server.rsplit_once('/').unwrap();
        let url = format!("{server}/{name}");
        sqlx::Postgres::create_database(&url).await.unwrap();
        Self::Postgres(PostgresUrl::parse(&url).unwrap())
    }

    async fn open(&self) -> Result<Store, StoreError> {
        match self {
            Self::Sqlite(directory) => Store::open(directory.path(), None).await,
            Self::Postgres(url) => Store::open(Path::new("/none"), Some(url)).await,
        }
    }
}

fn sketches() -> Sketched {
    let mut sketches = Sketched::default();
    sketches.insert([5; 32], Sketch([6; SLOTS]));
    sketches
}

fn layer(index: Option<&[u8]>) -> StoredLayer {
    StoredLayer {
        diff_id: Digest([2; 32]),
        size: 1 << 40,
        applied: AppliedLayer { base: Some([].into()), ..AppliedLayer::default() },
        index: index.map(<[u8]>::to_vec),
        sketches: index.map(|_| sketches().encode()),
    }
}

async fn what_is_put_is_got(place: &Place) {
    let (key, absent) = (Digest([1; 32]), Digest([0xff; 32]));
    let tree = Tree::default();
    {
        let store = place.open().await.unwrap();
        assert!(store.layer(key).await.unwrap().is_none());
        assert!(store.tree(key).await.unwrap().is_none());
        // Twice is once.
        for _ in 0..2 {
            store.put_layer(key, &layer(None)).await.unwrap();
            store.put_tree(key, &tree, Digest([3; 32]), &[absent, key]).await.unwrap();
            store.put_plan(key, vec![0, 1, 0xff]).await.unwrap();
            assert_eq!(store.plan(key).await.unwrap(), Some(vec![0, 1, 0xff]));
        }
    }
    let store = place.open().await.unwrap();
    let found = store.layer(key).await.unwrap().unwrap();
    let expected = layer(None);
    assert_eq!((found.diff_id, found.size), (expected.diff_id, expected.size));
    assert_eq!((found.applied, found.index), (expected.applied, None));
    assert_eq!(store.tree(key).await.unwrap(), Some((tree, Digest([3; 32]))));
    assert!(store.layer(absent).await.unwrap().is_none());

    assert!(
        store.sketches(key).await.unwrap().is_empty()
            && store.sketches(absent).await.unwrap().is_empty()
    );

    // An index and sketches are filled in, and then stay.
    for index in [&b"\0index\xff"[..], b"another"] {
        store.put_layer(key, &layer(Some(index))).await.unwrap();
    }
    store.put_layer(key, &layer(None)).await.unwrap();
    let found = store.layer(key).await.unwrap().unwrap();
    assert_eq!(found.index.as_deref(), Some(&b"\0index\xff"[..]));
    assert_eq!(store.sketches(key).await.unwrap(), sketches());

    // Names of states, a page after the other, each once.
    for (state, name) in [(key, "b"), (key, "a"), (absent, "a"), (key, "c")] {
        store.put_state(state, name).await.unwrap();
    }
    assert_eq!(store.names_after("", 2).await.unwrap(), ["a", "b"]);
    assert_eq!(store.names_after("b", 2).await.unwrap(), ["c"]);
    assert!(store.names_after("c", 2).await.unwrap().is_empty());
    let mut names = store.names_of(key).await.unwrap();
    names.sort();
    assert_eq!(names, ["a", "b", "c"]);
    assert_eq!(store.names_of(absent).await.unwrap(), ["a"]);
    assert!(store.names_of(Digest([9; 32])).await.unwrap().is_empty());

    // What devices got last: under the same name, or else from the repository.
    let shown = |number: u8| Digest([number; 32]);
    for (number, name) in [(20, "r/a:1"), (21, "r/a:2"), (22, "r/ab:1")] {
        store.put_tree(shown(number + 100), &Tree::default(), shown(number), &[]).await.unwrap();
        store.put_state(shown(number), name).await.unwrap();
    }
    let deployed = async |name: &str, but| {
        let name = Reference::without_host(name).unwrap();
        store.deployed(&name, shown(but), 9).await.unwrap()
    };
    assert_eq!(deployed("r/a:1", 0).await, [shown(120), shown(121)]);
    assert_eq!(deployed("r/a:2", 0).await, [shown(121), shown(120)]);
    assert_eq!(deployed("r/a:3", 20).await, [shown(121)]);
    assert_eq!(deployed("r/ab:2", 0).await, [shown(122)]);
    assert!(deployed("r:1", 0).await.is_empty());
}

async fn the_graph_is_kept(place: &Place) {
    let store = place.open().await.unwrap();
    let (old, new) = (Digest([1; 32]), Digest([2; 32]));
    let tree = Tree::default();
    let whole = Delta { parent: None, child: old, entries: 7, content_bytes: 70 };
    let update = Delta { parent: Some(old), child: new, entries: 1, content_bytes: 9 };
    for _ in 0..2 {
        store.put_base(old, &tree).await.unwrap();
        store.put_state(new, "a:2").await.unwrap();
        store.put_delta(&whole).await.unwrap();
        store.put_delta(&update).await.unwrap();
    }
    store.put_state(new, "a:latest").await.unwrap();
    store.measured(&update, Codecs::DEFLATE, 5).await.unwrap();
    // Once more, as for the next device: what was measured stays.
    store.put_delta(&update).await.unwrap();
    let sent = async |delta: &Delta, codecs| store.sent_bytes(delta, codecs).await.unwrap();
    assert_eq!(sent(&update, Codecs::DEFLATE).await, Some(5));
    assert_eq!(sent(&update, Codecs::ZSTD).await, None, "another codec's");
    assert_eq!(sent(&whole, Codecs::DEFLATE).await, None);
    let unknown = Delta { child: old, ..update.clone() };
    store.measured(&unknown, Codecs::DEFLATE, 6).await.unwrap();
    assert_eq!(sent(&unknown, Codecs::DEFLATE).await, None);
    for bytes in [9, 4] {
        store.measured(&update, Codecs::ZSTD, bytes).await.unwrap();
    }
    assert_eq!(sent(&update, Codecs::ZSTD).await, Some(4));
    assert_eq!(sent(&update, Codecs::DEFLATE).await, Some(5));
    assert_eq!(store.base(old).await.unwrap(), Some(tree));
    assert_eq!(store.base(new).await.unwrap(), None);
    let graph = store.graph().await.unwrap();
    let states: Vec<_> = graph.states.iter().map(|one| (one.tree, one.names.join(" "))).collect();
    assert_eq!(states, [(old, String::new()), (new, "a:2 a:latest".to_owned())]);
    let deltas = graph.deltas.iter();
    let deltas: Vec<_> = deltas.map(|one| (one.parent, one.entries, one.sent_bytes)).collect();
    assert_eq!(deltas, [(None, 7, None), (Some(old), 1, Some(4))]);

    let images = |names: &[&str]| -> Vec<String> { names.iter().map(|&n| n.to_owned()).collect() };
    assert_eq!(store.application("shop").await.unwrap(), None);
    store.put_application("shop", &images(&["a:1"])).await.unwrap();
    store.put_application("shop", &images(&["b:1", "a:2"])).await.unwrap();
    store.put_application("bar", &images(&["c"])).await.unwrap();
    assert_eq!(store.application("shop").await.unwrap(), Some(images(&["b:1", "a:2"])));
    let all = store.applications().await.unwrap();
    assert_eq!(all.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["bar", "shop"]);
    assert!(store.remove_application("shop").await.unwrap());
    assert!(!store.remove_application("shop").await.unwrap());
}

async fn hot_sets_are_kept(place: &Place) {
    let store = place.open().await.unwrap();
    let listed = |path: &str| Listed { images: vec!["a".into()], items: vec![Item::file(0, path)] };
    let image = Subject::Image("a".to_owned());
    for number in 0..20 {
        let listed = listed(&number.to_string());
        store.put_trace(&image, "linux/arm/v7", "pi", number, &listed).await.unwrap();
    }
    store.put_trace(&image, "linux/arm/v7", "", 1, &listed("other")).await.unwrap();
    // The same number again replaces.
    store.put_trace(&image, "linux/arm/v7", "", 1, &listed("again")).await.unwrap();
    let traces = store.traces(&image).await.unwrap();
    let paths: Vec<_> = traces
        .iter()
        .map(|kept| {
            (&*kept.class, String::from_utf8_lossy(&kept.listed.items[0].path).into_owned())
        })
        .collect();
    assert_eq!(paths[0], ("", "again".to_owned()));
    let last: Vec<_> = (12..20).map(|number| ("pi", number.to_string())).collect();
    assert_eq!(paths[1..], last);
    assert!(store.traces(&Subject::Application("a".to_owned())).await.unwrap().is_empty());

    // However many classes devices say they are of, a subject has so many reports.
    for number in 0..200 {
        let class = format!("c{number}");
        store.put_trace(&image, "linux/arm/v7", &class, 100 + number, &listed("x")).await.unwrap();
    }
    assert_eq!(store.traces(&image).await.unwrap().len(), 128);

    for path in ["one", "two"] {
        store.put_hot_set(&image, "", &listed(path)).await.unwrap();
    }
    store.put_hot_set(&image, "c199", &listed("three")).await.unwrap();
    let sets = store.hot_sets(&image).await.unwrap();
    assert_eq!(sets.iter().map(|kept| &*kept.class).collect::<Vec<_>>(), ["", "c199"]);
    assert_eq!(sets[0].listed, listed("two"));
    assert!(store.remove_hot(&image, "c199").await.unwrap());
    assert!(!store.remove_hot(&image, "c199").await.unwrap());
    assert_eq!(store.hot_sets(&image).await.unwrap().len(), 1);
    assert_eq!(store.traces(&image).await.unwrap().len(), 127);

    let key = Digest([7; 32]);
    assert_eq!(store.prediction(key, 1).await.unwrap(), None);
    for version in [1, 2] {
        store.put_prediction(key, version, &listed("p")).await.unwrap();
        assert_eq!(store.prediction(key, version).await.unwrap(), Some(listed("p")));
    }
    assert_eq!(store.prediction(key, 1).await.unwrap(), None, "of an older predictor");
}

#[tokio::test]
async fn sqlite_keeps_hot_sets() {
    hot_sets_are_kept(&Place::sqlite()).await;
}

#[tokio::test]
#[ignore = "tests/tests/database.rs runs it"]
async fn postgres_keeps_hot_sets() {
    hot_sets_are_kept(&Place::postgres("hot").await).await;
}

#[tokio::test]
async fn sqlite_keeps_the_graph() {
    the_graph_is_kept(&Place::sqlite()).await;
}

#[tokio::test]
#[ignore = "tests/tests/database.rs runs it"]
async fn postgres_keeps_the_graph() {
    the_graph_is_kept(&Place::postgres("graph").await).await;
}

#[tokio::test]
async fn sqlite_gives_what_was_put() {
    what_is_put_is_got(&Place::sqlite()).await;
}

#[tokio::test]
#[ignore = "tests/tests/database.rs runs it"]
async fn postgres_gives_what_was_put() {
    what_is_put_is_got(&Place::postgres("put").await).await;
}

/// Opens a database that has a migration more than this program.
async fn refused_as_newer(place: &Place) {
    let store = place.open().await.unwrap();
    let sql = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
         VALUES (9999, 'later', TRUE, $1, 0)";
    either!(store, |pool| sqlx::query(sql).bind(&b"sum"[..]).execute(pool).await.map(drop))
        .unwrap();
    let error = chain(&place.open().await.unwrap_err());
    assert!(error.contains("a newer version has written it: install that version"), "{error}");
}

#[tokio::test]
async fn sqlite_of_a_newer_version_is_refused() {
    refused_as_newer(&Place::sqlite()).await;
}

#[tokio::test]
#[ignore = "tests/tests/database.rs runs it"]
async fn postgres_of_a_newer_version_is_refused() {
    refused_as_newer(&Place::postgres("newer").await).await;
}

/// A database as the first version left it: without the later migrations.
#[tokio::test]
async fn a_database_of_the_first_version_is_taken_over() {
    let place = Place::sqlite();
    let key = Digest([1; 32]);
    {
        let store = place.open().await.unwrap();
        store.put_layer(key, &layer(Some(b"index"))).await.unwrap();
        for sql in [
            "ALTER TABLE layers DROP COLUMN seek_index",
            "ALTER TABLE layers DROP COLUMN sketches",
            "ALTER TABLE images DROP COLUMN layers",
            "ALTER TABLE plans DROP COLUMN used",
            "DROP TABLE applications",
            "DROP TABLE bases",
            "DROP TABLE states",
            "DROP TABLE deltas",
            "DROP TABLE traces",
            "DROP TABLE hot_sets",
            "DROP TABLE predictions",
            "DROP TABLE uses",
            "DROP TABLE sent",
            "DELETE FROM _sqlx_migrations WHERE version > 1",
        ] {
            either!(store, |pool| sqlx::query(sql).execute(pool).await.map(drop)).unwrap();
        }
        // What accelerators have recorded for the first migration.
        let sql = "SELECT checksum FROM _sqlx_migrations";
        let sum: Vec<u8> =
            either!(store, |pool| sqlx::query_scalar(sql).fetch_one(pool).await).unwrap();
        let sum: String = sum.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(sum, "2c67b636a772393b");
    }
    let store = place.open().await.unwrap();
    let found = store.layer(key).await.unwrap().unwrap();
    assert_eq!((found.size, found.index), (1 << 40, None));
}

#[tokio::test]
async fn sqlite_needs_no_claims() {
    let store = Place::sqlite().open().await.unwrap();
    let _one = store.claim(Digest([1; 32])).await.unwrap();
    let _two = store.claim(Digest([1; 32])).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "tests/tests/database.rs runs it"]
async fn a_claim_keeps_other_programs_off_its_layer_only() {
    const SOON: Duration = Duration::from_secs(10);
    let place = Place::postgres("claims").await;
    // Both bring the empty database up to date at once.
    let (one, two) = tokio::join!(place.open(), place.open());
    let (one, two) = (one.unwrap(), two.unwrap());
    let key = Digest([1; 32]);
    let held = one.claim(key).await.unwrap();
    timeout(SOON, two.claim(Digest([9; 32]))).await.unwrap().unwrap();
    let mut waiting = Box::pin(two.claim(key));
    assert!(timeout(Duration::from_millis(500), &mut waiting).await.is_err());
    drop(held);
    let held = timeout(SOON, waiting).await.unwrap().unwrap();
    // Who goes away while waiting leaves nothing behind.
    assert!(timeout(Duration::from_millis(500), one.claim(key)).await.is_err());
    drop(held);
    timeout(SOON, one.claim(key)).await.unwrap().unwrap();
}

/// Far more claims than connections, some of them waiting for one another's layers: all get their
/// turn, and queries have theirs meanwhile.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "tests/tests/database.rs runs it"]
async fn many_claims_lock_nobody_out() {
    let place = Place::postgres("many").await;
    let stores = [place.open().await.unwrap(), place.open().await.unwrap()];
    let mut tasks = Vec::new();
    for number in 0..40 {
        for store in &stores {
            let (store, key) = (store.clone(), Digest([number; 32]));
            tasks.push(tokio::spawn(async move {
                let _claim = store.claim(key).await.unwrap();
                tokio::time::sleep(Duration::from_millis(20)).await;
                store.put_layer(key, &layer(None)).await.unwrap();
            }));
        }
    }
    for task in tasks {
        timeout(Duration::from_secs(60), task).await.unwrap().unwrap();
    }
}

#[tokio::test]
#[ignore = "tests/tests/database.rs runs it"]
async fn a_database_that_cannot_be_opened_says_what_to_do() {
    let Place::Postgres(good) = Place::postgres("errors").await else { unreachable!() };
    let good = good.secret().to_owned();
    let (before, host) = good.rsplit_once('@').unwrap();
    let user = before.rsplit_once(':').unwrap().0;
    let rows = [
        (format!("{user}:SECRET@{host}"), "correct user or password in --database"),
        (format!("{before}@127.0.0.1:1/errors"), "start it, or correct --database"),
        (format!("{good}-none"), "create it with `createdb`"),
        (format!("{good}?sslmode=require"), "without TLS only"),
        (format!("{good}?sslmode=odd"), "correct --database"),
    ];
    let password = before.rsplit_once(':').unwrap().1;
    for (url, expected) in rows {
        let url = PostgresUrl::parse(&url).unwrap();
        let started = std::time::Instant::now();
        let error = chain(&Store::open(Path::new("/none"), Some(&url)).await.unwrap_err());
        assert!(error.contains(expected), "{error}");
        assert!(!error.contains("SECRET") && !error.contains(password), "{error}");
        assert!(started.elapsed() < Duration::from_secs(10), "{error}");
    }
}
