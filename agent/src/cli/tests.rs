//! Command lines and what they mean.

use super::*;

fn parsed(line: &str) -> Result<Options, UsageError> {
    parse(std::iter::once("skiff").chain(line.split(' ')).map(OsString::from), |_| None)
}

#[test]
fn commands_and_options() {
    let options = parsed("pull a:1 --accelerator=http://h:1 b:2 --dry-run --root /r").unwrap();
    let wanted = Wanted::Images(vec!["a:1".to_owned(), "b:2".to_owned()]);
    let pull = |wanted, dry_run, max_bytes| {
        let budget = Budget { max_bytes, ..Budget::default() };
        let (lazy, wait, no_devices) = (Laziness::Auto, false, false);
        Command::Pull { wanted, dry_run, budget, lazy, wait, no_devices }
    };
    assert_eq!(options.command, pull(wanted, true, None));
    assert_eq!(options.accelerator.as_deref(), Some("http://h:1"));
    assert_eq!(options.state, PathBuf::from("/r/skiff"));
    for (line, images, repair, tries) in [
        ("verify", &[][..], false, None),
        ("verify --repair a:1 b:2 --tries 3", &["a:1", "b:2"], true, Some(3)),
    ] {
        let images = images.iter().map(|image| (*image).to_owned()).collect();
        let budget = Budget { tries, ..Budget::default() };
        let verify = Command::Verify { images, repair, budget };
        assert_eq!(parsed(line).unwrap().command, verify, "{line}");
    }
    assert_eq!(parsed("--json ls").unwrap().command, Command::List);
    let application = Name::parse("shop").unwrap();
    let wanted = Wanted::Application(application.clone());
    let deploy = pull(wanted, false, Some(5));
    assert_eq!(parsed("deploy shop --max-bytes 5").unwrap().command, deploy);
    assert_eq!(parsed("rollback shop").unwrap().command, Command::Rollback { application });
    for image in ["host:5000/shop", "shop:1", "shop/web"] {
        let rollback = Command::RollbackImage { image: image.to_owned() };
        assert_eq!(parsed(&format!("rollback {image}")).unwrap().command, rollback);
    }
    assert_eq!(parsed("pull --help").unwrap().command, Command::Help);
}

#[test]
fn mistakes_are_named() {
    for (line, word) in [
        ("pull", "needs an image"),
        ("fly", "'fly'"),
        ("deploy", "one application"),
        ("deploy a b", "one application"),
        ("deploy ../a", "'../a'"),
        ("rollback -a", "-a"),
        ("rollback a --dry-run", "--dry-run"),
        ("ls x", "no argument"),
        ("mount a", "directory"),
        ("pull a --frob", "--frob"),
        ("pull a --print", "--print with trace"),
        ("trace", "one container"),
        ("ls --dry-run", "--dry-run"),
        ("pull a --max-bytes many", "many"),
        ("pull a --repair", "--repair with verify"),
        ("pull a --tries 0", "at least 1"),
        ("ls --limit-rate 5", "--limit-rate"),
        ("pull a --lazy=sometimes", "'sometimes'"),
        ("pull a --class x", "--class"),
        ("daemon --class ../x", "'../x'"),
        ("pull a --pin sha1/x", "'sha1/x'"),
        ("pull a --cert c", "--cert and --key"),
    ] {
        let said = parsed(line).unwrap_err().to_string();
        assert!(said.contains(word), "{line}: {said}");
    }
}

#[test]
fn keys_of_trees_need_a_build_that_can_check_them() {
    let key = "0".repeat(64);
    let parsed = parsed(&format!("pull a --tree-key {key} --tree-key tree.pub"));
    if cfg!(feature = "tls") {
        let keys = [TreeKey::Key([0; 32]), TreeKey::File("tree.pub".into())];
        assert_eq!(parsed.unwrap().security.tree_keys, keys);
    } else {
        assert!(parsed.unwrap_err().to_string().contains("built without TLS"));
    }
}

#[test]
fn the_environment_is_the_default() {
    let (one, other) = ("0".repeat(64), "1".repeat(64));
    let keys = format!("tree.pub {one}");
    let pins = format!("{one} sha256:{other}");
    let env = |name: &str| match name {
        "SKIFF_TREE_KEY" if cfg!(feature = "tls") => Some(OsString::from(&keys)),
        "SKIFF_PIN" => Some(OsString::from(&pins)),
        "SKIFF_CERT" | "SKIFF_KEY" => Some(OsString::new()),
        "SKIFF_CA" | "SKIFF_TOKEN_FILE" => Some(OsString::from(format!("/{name}"))),
        _ => None,
    };
    let with = |line: &str| {
        let words = std::iter::once("skiff").chain(line.split(' ')).map(OsString::from);
        parse(words, env).unwrap().security
    };
    let expected = SecurityOptions {
        ca: Some("/SKIFF_CA".into()),
        pins: vec![pin(&one).unwrap(), pin(&other).unwrap()],
        token_file: Some("/SKIFF_TOKEN_FILE".into()),
        tree_keys: keys_of(if cfg!(feature = "tls") { &keys } else { "" }),
        ..SecurityOptions::default()
    };
    assert_eq!(with("daemon"), expected);
    let line = format!("pull a --pin {other} --token-file /t --cert /c --key /k");
    let expected = SecurityOptions {
        pins: vec![pin(&other).unwrap()],
        token_file: Some("/t".into()),
        certificate: Some("/c".into()),
        key: Some("/k".into()),
        ..expected
    };
    assert_eq!(with(&line), expected);
}
