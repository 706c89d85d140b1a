//! Modules of languages.

use super::{Image, elf};

#[tokio::test]
async fn modules_of_a_program_for_node() {
    let mut image = Image::new();
    let main = "const a = require('./lib/a'); import b from \"b\"; require(made);\n\
        import('@s/exported/part'); x = ['none', 'usr']; require('../gone'); require('fs')";
    image
        .file("usr/bin/node", b"node")
        .file("usr/bin/start", b"#!/usr/bin/env node\nrequire('/app/main')")
        .file("usr/bin/env", b"env")
        .data("app/main.js", main.as_bytes())
        .data("app/package.json", br#"{"dependencies": {"@app/own": "1", "plain": "1", "b": "1"}}"#)
        .data("app/lib/a/index.js", b"require('../a')")
        .data("app/lib/unused.js", b"1")
        .data("app/node_modules/b/package.json", br#"{"main": "./dist/b"}"#)
        .data("app/node_modules/b/dist/b.js", b"module.exports = require('c/sub.json')")
        .data("app/node_modules/b/dist/other.js", b"1")
        .data("app/node_modules/b/node_modules/c/sub.json", b"{}")
        .data("app/node_modules/c/sub.json", b"{}")
        .data(
            "app/node_modules/@s/exported/package.json",
            br#"{"exports": {"./part": {"browser": "./no.js", "require": "./yes.cjs"}}}"#,
        )
        .data("app/node_modules/@s/exported/yes.cjs", b"1")
        .data("app/node_modules/@s/exported/no.js", b"1")
        .data("app/node_modules/@app/own/package.json", br#"{"dependencies": {"late": "1"}}"#)
        .data("app/node_modules/@app/own/any/name.js", b"1")
        .data("app/node_modules/@app/own/any/name.html", b"1")
        .data("app/node_modules/@app/own/test/name.js", b"1")
        .data("app/node_modules/late/package.json", b"{\"main\": 7")
        .data("app/node_modules/late/index.js", b"1")
        .data("app/node_modules/unneeded/index.js", b"1");
    let found = image.predicted(r#"{"Cmd": ["start"]}"#).await;
    let expected = [
        "usr/bin/start",
        "usr/bin/env",
        "usr/bin/node",
        "app/package.json",
        "app/main.js",
        "app/lib/a/index.js",
        "app/node_modules/b/package.json",
        "app/node_modules/b/dist/b.js",
        "app/node_modules/@s/exported/package.json",
        "app/node_modules/@s/exported/yes.cjs",
        "app/node_modules/b/node_modules/c/sub.json",
    ];
    assert_eq!(found, expected, "a script outside of a package");
    let found = image.predicted(r#"{"Cmd": ["node", "main.js"], "WorkingDir": "/app"}"#).await;
    let mut rest: Vec<&str> = found[9..].iter().map(String::as_str).collect();
    rest.sort_unstable();
    let expected = [
        "app/lib/unused.js",
        "app/node_modules/@app/own/any/name.html",
        "app/node_modules/@app/own/any/name.js",
        "app/node_modules/@app/own/package.json",
        "app/node_modules/late/index.js",
        "app/node_modules/late/package.json",
    ];
    assert_eq!(rest, expected);
}

#[tokio::test]
async fn modules_of_a_program_for_python() {
    let mut image = Image::new();
    let serve = "import json, native as n\nfrom own.part import (thing,)\ntry:\n    import maybe\n\
        except ImportError:\n    pass\ndef f():\n    import never\nfrom . import none\n";
    image
        .link("usr/bin/python3", "python3.11")
        .file("usr/bin/python3.11", b"python")
        .file("usr/bin/serve", format!("#!/usr/bin/python3\n{serve}").as_bytes())
        .data("usr/lib/python3.11/os.py", b"import abc")
        .data("usr/lib/python3.11/abc.py", b"")
        .data("usr/lib/python3.11/__pycache__/os.cpython-311.pyc", b"code")
        .data("usr/lib/python3.11/__pycache__/os.cpython-310.pyc", b"code")
        .data("usr/lib/python3.11/json/__init__.py", b"from .decoder import x")
        .data("usr/lib/python3.11/json/decoder.py", b"from ..os import path")
        .data("usr/lib/python3.11/never.py", b"1")
        .data("usr/lib/python3.11/maybe.py", b"1")
        .data("usr/lib/python3.11/lib-dynload/native.cpython-310.so", b"1")
        .data("usr/lib/python3.11/lib-dynload/native.cpython-311.so", &elf("", &["libn.so"], None))
        .file("usr/lib/libn.so", b"n")
        .data("usr/lib/python3/dist-packages/own/part/thing.py", b"1")
        .data("usr/lib/python3/dist-packages/own/part/__init__.py", b"import os")
        .data("srv/app.py", b"import json");
    let mut found = image.predicted(r#"{"Cmd": ["serve"]}"#).await;
    assert_eq!(found[..2], ["usr/bin/serve", "usr/bin/python3.11"]);
    found.sort();
    let expected = [
        "usr/bin/python3.11",
        "usr/bin/serve",
        "usr/lib/libn.so",
        "usr/lib/python3.11/__pycache__/os.cpython-311.pyc",
        "usr/lib/python3.11/json/__init__.py",
        "usr/lib/python3.11/json/decoder.py",
        "usr/lib/python3.11/lib-dynload/native.cpython-311.so",
        "usr/lib/python3.11/maybe.py",
        "usr/lib/python3/dist-packages/own/part/__init__.py",
        "usr/lib/python3/dist-packages/own/part/thing.py",
    ];
    let with_abc: Vec<&String> = found.iter().filter(|path| !path.ends_with("abc.py")).collect();
    assert_eq!(with_abc, expected);
    let config = r#"{"Cmd": ["python3", "-m", "json"], "WorkingDir": "/srv"}"#;
    assert!(
        image.predicted(config).await.contains(&"usr/lib/python3.11/json/decoder.py".to_owned())
    );
    let config = r#"{"Cmd": ["python3", "app:main"], "WorkingDir": "/srv"}"#;
    assert!(image.predicted(config).await.contains(&"srv/app.py".to_owned()));
}
