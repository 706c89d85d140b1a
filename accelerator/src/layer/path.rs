//! Names to paths, as `filepath.Clean` and continuity's `fs.RootPath` do it: nothing leads out of
//! the root.

use super::limits;
use crate::tree::Path;

/// Symlinks that one resolution follows before it gives up; continuity's number.
const MAX_LINKS: u32 = 255;

/// A name's components joined: no empty ones, no `.`; `..` takes the one before it away and stops
/// at the root. Lexical, so `a/../b` is `b` even if `a` is a symlink.
pub(crate) fn clean(name: &[u8]) -> Path {
    let mut path = Path::new();
    for component in name.split(|&b| b == b'/') {
        match component {
            b"" | b"." => {}
            b".." => path.truncate(path.iter().rposition(|&b| b == b'/').unwrap_or(0)),
            _ => push(&mut path, component),
        }
    }
    path
}

/// Appends a component to a path.
pub(crate) fn push(path: &mut Path, component: &[u8]) {
    if !path.is_empty() {
        path.push(b'/');
    }
    path.extend_from_slice(component);
}

/// A path's parent and last component; the parent of a path directly below the root is empty.
pub(crate) fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|&b| b == b'/') {
        Some(slash) => (&path[..slash], &path[slash + 1..]),
        None => (&[], path),
    }
}

/// Resolves a clean path's symlinks, the last component's too. `link` says what a path's symlink
/// points to; `None` where there is no symlink (or nothing). Gives `None` after too many links.
pub(crate) fn resolve<'t>(path: &[u8], link: impl Fn(&[u8]) -> Option<&'t [u8]>) -> Option<Path> {
    let mut rest = path.to_vec();
    for _ in 0..=MAX_LINKS {
        let mut done = Path::new();
        let mut found = None;
        for component in rest.split(|&b| b == b'/') {
            match found.as_mut() {
                Some(next) => push(next, component),
                None => {
                    let parent = done.len();
                    push(&mut done, component);
                    found = link(&done).map(|target| join(&done[..parent], target));
                }
            }
        }
        match found {
            Some(next) => rest = clean(&next),
            None => return Some(done),
        }
    }
    None
}

fn join(parent: &[u8], target: &[u8]) -> Path {
    if target.starts_with(b"/") { target.to_vec() } else { [parent, b"/", target].concat() }
}

/// Which limit a path is over, if any.
pub(crate) fn over_limit(path: &[u8]) -> Option<&'static str> {
    if path.len() > limits::PATH {
        Some("a path over 4095 bytes")
    } else if path.split(|&b| b == b'/').any(|component| component.len() > limits::COMPONENT) {
        Some("a file name over 255 bytes")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cleans() {
        let cases = [
            ("", ""),
            (".", ""),
            ("/", ""),
            ("./a//b/", "a/b"),
            ("../x", "x"),
            ("a/../../x", "x"),
            ("/a/./b/../c", "a/c"),
            ("..a/b..", "..a/b.."),
        ];
        for (name, expected) in cases {
            assert_eq!(clean(name.as_bytes()), expected.as_bytes(), "{name}");
        }
    }

    #[test]
    fn resolves() {
        let links = [
            ("bin", "usr/bin"),
            ("abs", "/usr"),
            ("usr/up", "../../../etc"),
            ("usr/two", "up/x"),
            ("loop", "loop"),
            ("a", "b"),
            ("b", "a"),
        ];
        let link = |path: &[u8]| {
            links.iter().find(|(from, _)| from.as_bytes() == path).map(|(_, to)| to.as_bytes())
        };
        let cases = [
            ("", Some("")),
            ("bin/sh", Some("usr/bin/sh")),
            ("abs/up/passwd", Some("etc/passwd")),
            ("usr/two/y", Some("etc/x/y")),
            ("none/at/all", Some("none/at/all")),
            ("loop/x", None),
            ("a", None),
        ];
        for (path, expected) in cases {
            let got = resolve(path.as_bytes(), link);
            assert_eq!(got.as_deref(), expected.map(str::as_bytes), "{path}");
        }
    }
}
