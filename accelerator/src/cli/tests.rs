//! Command lines and what they mean.

use super::*;

fn parsed(line: &str) -> Result<Command, String> {
    parse(line.split_whitespace().map(OsString::from)).map_err(|error| error.to_string())
}

#[test]
fn commands_are_read() {
    let common = Common {
        registry: "oci:/images".to_owned(),
        metadata: Metadata { data: PathBuf::from("/data"), database: None },
        cache_bytes: CACHE_BYTES,
    };
    assert_eq!(
        parsed(
            "serve --registry oci:/images --data=/data --listen [::1]:0 --level 12 --zstd-level 9 --idle-zstd-level 0"
        ),
        Ok(Command::Serve {
            common,
            listen: "[::1]:0".parse().unwrap(),
            levels: Levels { deflate: 12, zstd: 9, idle: 0 },
            ahead: Ahead::default(),
            traces: true,
            security: Security::default(),
        })
    );
    let serve = "serve --registry oci:x --data d --poll 10 --no-traces --platform linux/arm64 --platform linux/arm";
    let Ok(Command::Serve { ahead, traces, .. }) = parsed(serve) else { panic!("{serve}") };
    assert!(!traces);
    assert_eq!(ahead.poll, Some(Duration::from_secs(10)));
    assert_eq!(ahead.platforms, ["linux/arm64", "linux/arm"]);
    let serve = "serve --registry oci:x --data d --tls-cert c --tls-key k --tls-client-ca a --policy p --sign-key s --sign-key t";
    let Ok(Command::Serve { security, .. }) = parsed(serve) else { panic!("{serve}") };
    let [certificate, key, ca, policy] = ["c", "k", "a", "p"].map(PathBuf::from);
    let tls = Some(TlsFiles { certificate, key, client_ca: Some(ca) });
    assert_eq!(
        security,
        Security { tls, policy: Some(policy), sign_keys: vec!["s".into(), "t".into()] }
    );
    let ingest = parsed(
        "ingest a:1 --registry http://r --data d --platform linux/arm/v6 b:2 \
         --database postgres://u:p@h/d",
    );
    let Ok(Command::Ingest { platform, images, common }) = ingest else { panic!("{ingest:?}") };
    assert_eq!(common.metadata.database.unwrap().to_string(), "postgres://h/d");
    assert_eq!((platform.as_str(), images), ("linux/arm/v6", vec!["a:1".into(), "b:2".into()]));
}

#[test]
fn applications_are_said() {
    let action = |line: &str| match parsed(line) {
        Ok(Command::App { action, .. }) => action,
        other => panic!("{other:?}"),
    };
    let images = vec!["a:1".to_owned(), "b:1".to_owned()];
    let name = "shop".to_owned();
    let set = App::Set { name: name.clone(), images };
    assert_eq!(action("app set shop a:1 b:1 --data d"), set);
    let file = PathBuf::from("c.yaml");
    let set = App::Compose { name: name.clone(), file };
    assert_eq!(action("app --data d set shop --compose c.yaml"), set);
    assert_eq!(action("app --data d ls"), App::List);
    assert_eq!(action("app --data d rm shop"), App::Remove { name });
}

#[test]
fn hot_sets_are_said() {
    let hot = |line: &str| match parsed(line) {
        Ok(Command::Hot { hot, .. }) => hot,
        other => panic!("{other:?}"),
    };
    let of = |name: &str, is_application, class: &str, action| {
        let (name, class) = (name.to_owned(), class.to_owned());
        Hot { name, is_application, class, action }
    };
    let file = PathBuf::from("f");
    let set = of("a:1", false, "", HotAction::Set { file: file.clone() });
    assert_eq!(hot("hot set a:1 f --data d"), set);
    let set = of("shop", true, "pi", HotAction::Set { file });
    assert_eq!(hot("hot --data d set --app shop f --class pi"), set);
    assert_eq!(hot("hot --data d show a"), of("a", false, "", HotAction::Show));
    assert_eq!(hot("hot --data d rm --app a"), of("a", true, "", HotAction::Remove));
}

#[test]
fn each_mistake_has_its_sentence() {
    let rows = [
        ("", "name a command"),
        ("serve --data d", "--registry is missing"),
        ("serve --registry oci:x", "--data is missing"),
        ("serve --registry oci:x --data d image", "takes no images"),
        ("serve --registry oci:x --data d --level 13", "1 to 12"),
        ("serve --registry oci:x --data d --zstd-level 20", "1 to 19"),
        ("serve --registry oci:x --data d --poll 9", "at least 10"),
        ("serve --registry oci:x --data d --poll 1h", "at least 10"),
        ("ingest --registry oci:x --data d a --poll 10", "none of"),
        ("ingest --registry oci:x --data d a --platform a/b --platform a/c", "one --platform"),
        ("ingest --registry oci:x --data d", "needs an image"),
        ("serve --registry oci:x --data d --database mysql://h/d", "has to be postgres://"),
        ("app --data d set shop", "`app` takes"),
        ("app --data d set shop a:1 --compose f", "`app` takes"),
        ("app --data d ls shop", "`app` takes"),
        ("graph --data d x", "no argument"),
        ("serve --registry oci:x --data d --json", "goes with `graph`"),
        ("ingest --registry oci:x --data d a --compose f", "goes with `app"),
        ("hot --data d", "`hot` takes"),
        ("hot --data d show", "needs an image"),
        ("hot --data d set a", "`hot` takes"),
        ("hot --data d show --app a b", "`hot` takes"),
        ("app --data d ls --class x", "go with `hot`"),
        ("graph --data d --no-traces", "goes with `serve`"),
        ("serve --registry oci:x --data d --tls-cert c", "go together"),
        ("serve --registry oci:x --data d --tls-client-ca c", "go together"),
        ("app --data d ls --policy p", "go with `serve`"),
        ("app --data d ls --sign-key s", "go with `serve`"),
        ("push --registry oci:x --data d", "no command \"push\""),
        ("serve --frobnicate", "--frobnicate"),
    ];
    for (line, expected) in rows {
        let error = parsed(line).unwrap_err();
        assert!(error.contains(expected), "{line}: {error}");
    }
}
