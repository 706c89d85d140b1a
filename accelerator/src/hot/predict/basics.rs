//! What nearly every program reads, whatever it is.

use super::found::{Found, MOST_NAMES, above};
use super::words::Start;
use crate::tree::Path;

/// What the C library and what is beside it reads.
const BASICS: [&str; 15] = [
    "/etc/ld.so.cache",
    "/etc/nsswitch.conf",
    "/etc/passwd",
    "/etc/group",
    "/etc/hosts",
    "/etc/host.conf",
    "/etc/resolv.conf",
    "/etc/gai.conf",
    "/etc/localtime",
    "/usr/share/zoneinfo/UTC",
    "/usr/lib/ssl/openssl.cnf",
    "/etc/ssl/openssl.cnf",
    "/etc/inputrc",
    "/etc/services",
    "/etc/ssl/certs/ca-certificates.crt",
];

/// Variables that name a locale.
const LOCALES: [&str; 3] = ["LC_ALL", "LC_CTYPE", "LANG"];

/// A longer archive of locales has many that nobody uses.
const ARCHIVE: u64 = 4 << 20;

/// Files of a locale.
const MOST_PARTS: usize = 32;

/// Takes the basics in, and the locale that an image's variables name.
pub(super) fn add(found: &mut Found<'_>, start: &Start) {
    let mut files: Vec<_> = BASICS.iter().filter_map(|path| found.file(path.as_bytes())).collect();
    if let Some(locale) = LOCALES.iter().find_map(|name| start.variable(name)) {
        let is_ours = |path: &[u8]| {
            let name = path.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
            plain(name) == plain(locale.as_bytes())
        };
        let locales = found.tree.nodes.range(b"usr/lib/locale/".to_vec()..);
        let names = locales.map(|(path, _)| path).take_while(|p| p.starts_with(b"usr/lib/locale/"));
        let directory = names.take(MOST_NAMES).find(|path| is_ours(path)).cloned();
        if let Some(directory) = directory {
            files.extend(found.files_in(&directory).take(MOST_PARTS));
            let messages = [&directory[..], b"/LC_MESSAGES"].concat();
            files.extend(found.files_in(&messages).take(MOST_PARTS));
        }
        let is_short = |path: &Path| found.tree.content(path).is_some_and(|c| c.size <= ARCHIVE);
        files.extend(found.file(b"usr/lib/locale/locale-archive").filter(is_short));
    }
    if let Some(zone) = start.variable("TZ") {
        files.extend(found.file(format!("/usr/share/zoneinfo/{zone}").as_bytes()));
    }
    if let Some(terminal) = start.variable("TERM") {
        let first = terminal.get(..1).unwrap_or_default();
        for directory in ["/lib/terminfo", "/usr/share/terminfo", "/etc/terminfo"] {
            files.extend(found.file(format!("{directory}/{first}/{terminal}").as_bytes()));
        }
    }
    for path in files {
        found.add(&path);
    }
}

/// Takes in what the C library converts characters with, which is beside it, if there is a locale.
pub(super) fn add_conversions(found: &mut Found<'_>, start: &Start) {
    let beside = |path: &Path| {
        let directory = above(path).filter(|_| path.ends_with(b"/libc.so.6"))?;
        found.file(&[directory, b"/gconv/gconv-modules.cache"].concat())
    };
    let path = found.paths().iter().find_map(beside);
    if let Some(path) = path.filter(|_| LOCALES.iter().any(|name| start.variable(name).is_some())) {
        found.add(&path);
    }
}

/// A locale's name as directories have it: `C.UTF-8` is `C.utf8`.
fn plain(name: &[u8]) -> Vec<u8> {
    name.iter().filter(|byte| **byte != b'-').map(u8::to_ascii_lowercase).collect()
}
