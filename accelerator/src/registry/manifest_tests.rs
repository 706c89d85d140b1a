//! Documents as tools make them, and as they should not be.

use super::manifest::{Config, Document, Index, Manifest};
use super::platform::Platform;

const A: &str = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
const B: &str = "sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";
const OCI: &str = "application/vnd.oci.image";
const DOCKER: &str = "application/vnd.docker";

fn manifest(media_type: &str, layer: &str, more: &str) -> String {
    format!(
        r#"{{"schemaVersion":2,{media_type}"config":{{"mediaType":"x","digest":"{A}","size":1}},
        "layers":[{{"mediaType":"{layer}","digest":"{B}","size":2{more}}}]}}"#
    )
}

fn parse(text: &str, said: &str) -> Result<Document, String> {
    Document::parse(text.as_bytes(), said).map_err(|error| error.to_string())
}

#[test]
fn manifests_of_both_kinds() {
    let docker = format!(r#""mediaType":"{DOCKER}.distribution.manifest.v2+json","#);
    let rows = [
        ("", "", "layer.v1.tar", "manifest.v1+json"),
        ("", "application/json; charset=utf-8", "layer.v1.tar+zstd", "manifest.v1+json"),
        ("", "application/vnd.oci.image.manifest.v1+json", "layer.v1.tar+gzip", "manifest.v1+json"),
        (&docker, "", "layer.v1.tar", "manifest.v2+json"),
    ];
    for (media_type, said, layer, expected) in rows {
        let text = manifest(media_type, &format!("{OCI}.{layer}"), "");
        let Ok(Document::Manifest(Manifest { media_type, config, layers })) = parse(&text, said)
        else {
            panic!("{text}");
        };
        assert!(media_type.ends_with(expected), "{media_type}");
        assert_eq!((config.digest.to_string(), config.size), (A.to_owned(), 1));
        assert_eq!((layers[0].digest.to_string(), layers[0].size), (B.to_owned(), 2));
    }
}

#[test]
fn an_index_gives_what_the_device_runs() {
    let entry = |digest: &str, platform: &str| {
        format!(r#"{{"mediaType":"m","digest":"{digest}","size":1{platform}}}"#)
    };
    let arm = r#","platform":{"os":"linux","architecture":"arm","variant":"v6"}"#;
    let text = format!(r#"{{"manifests":[{},{}]}}"#, entry(A, ""), entry(B, arm));
    let Ok(Document::Index(index)) = parse(&text, "") else { panic!() };
    let pick = |index: &Index, device: &str| {
        index.pick(&device.parse::<Platform>().unwrap()).map(|found| found.digest.to_string())
    };
    assert_eq!(pick(&index, "linux/arm/v7"), Some(B.to_owned()));
    assert_eq!(pick(&index, "linux/arm/v5"), None);
}

#[test]
fn what_is_refused() {
    let tar = format!("{OCI}.layer.v1.tar");
    let said = |kind: &str| format!(r#""mediaType":"{OCI}.{kind}.v1+json","#);
    let rows = [
        ("".to_owned(), "not a valid manifest"),
        ("{}".to_owned(), "not an image"),
        (r#"{"schemaVersion":1,"fsLayers":[]}"#.to_owned(), "schema 1"),
        (manifest(r#""manifests":[],"#, &tar, ""), "both"),
        (manifest(&said("index"), &tar, ""), "not an image"),
        (manifest("", "application/wasm", ""), "only tar"),
        (manifest("", &tar, r#","urls":["http://x"]"#), "foreign"),
        (manifest("", &format!("{DOCKER}.image.rootfs.foreign.diff.tar.gzip"), ""), "foreign"),
        (manifest("", &format!("{OCI}.layer.nondistributable.v1.tar"), ""), "foreign"),
        (manifest("", &tar, "").replace(B, "sha512:00"), "only sha256"),
        (manifest("", &tar, "").replace(":2}", ":-2}"), "not a valid manifest"),
    ];
    for (text, expected) in rows {
        let error = parse(&text, "").unwrap_err();
        assert!(error.contains(expected), "{text}: {error}");
    }
}

#[test]
fn configs() {
    let rootfs = format!(r#""rootfs":{{"type":"layers","diff_ids":["{A}","{B}"]}}"#);
    let text = format!(r#"{{"os":"linux","architecture":"arm","variant":"v6",{rootfs}}}"#);
    let config = Config::parse(text.as_bytes()).unwrap();
    assert_eq!(config.platform.unwrap().to_string(), "linux/arm/v6");
    assert_eq!(config.diff_ids.len(), 2);
    let config = Config::parse(format!("{{{rootfs}}}").as_bytes()).unwrap();
    assert_eq!(config.platform, None);
    assert!(Config::parse(b"{}").is_err());
    assert!(Config::parse(text.replace(A, "md5:0").as_bytes()).is_err());
}
