//! Hot sets that are said by hand: a file with a path in each line, in the order of first use.

use super::{Item, Listed, MOST, Subject};
use crate::applications::check_name;
use crate::reference::Reference;
use skiff_protocol::path::check;
use skiff_protocol::request::is_class;

/// What can't be said.
#[derive(Debug, thiserror::Error)]
pub enum HandError {
    /// A line is no path.
    #[error(
        "line {0} of the list is no path; give one path in each line, like `/usr/sbin/nginx`, without `.` and `..`"
    )]
    Path(usize),
    /// There are too many or none.
    #[error("the list has {0} paths, and a hot set can have 1 to {MOST}")]
    Count(usize),
    /// What it is for has no such name.
    #[error(
        "{0:?} can't be what a hot set is of; give an image's repository, or an application with --app"
    )]
    Subject(String),
    /// The class is none.
    #[error("{0:?} can't be a class of devices: use at most 64 letters, digits, `.`, `_` and `-`")]
    Class(String),
}

/// The paths of a list. Empty lines count as none; whether a path begins with a slash is the same.
///
/// # Errors
/// A line is no path, or there are too many or none.
pub fn read(text: &[u8]) -> Result<Listed, HandError> {
    let mut items = Vec::new();
    for (number, line) in (1..).zip(text.split(|&byte| byte == b'\n')) {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.is_empty() {
            continue;
        }
        let path = line.strip_prefix(b"/").unwrap_or(line);
        check(path).map_err(|_| HandError::Path(number))?;
        items.push(Item::file(0, path));
    }
    if !(1..=MOST).contains(&items.len()) {
        return Err(HandError::Count(items.len()));
    }
    Ok(Listed { images: Vec::new(), items })
}

/// What the words of the command line name: an image, of which the repository counts, or an application.
///
/// # Errors
/// They name neither.
pub fn subject(name: &str, is_application: bool) -> Result<Subject, HandError> {
    let bad = || HandError::Subject(name.to_owned());
    if is_application {
        return check_name(name).map(|()| Subject::Application(name.to_owned())).map_err(|_| bad());
    }
    Reference::parse(name).map(|name| Subject::Image(name.repository)).map_err(|_| bad())
}

/// A class of devices.
///
/// # Errors
/// It is none.
pub fn class(text: &str) -> Result<(), HandError> {
    if is_class(text) { Ok(()) } else { Err(HandError::Class(text.to_owned())) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_paths_is_read() {
        let listed = read(b"/usr/sbin/nginx\n\netc/nginx/a b\r\n/etc/\xff").unwrap();
        let paths: Vec<&[u8]> = listed.items.iter().map(|item| &item.path[..]).collect();
        assert_eq!(paths, [&b"usr/sbin/nginx"[..], b"etc/nginx/a b", b"etc/\xff"]);
        for (text, expected) in [
            (&b"\n\n"[..], "0 paths"),
            (b"/a\n/b/../c", "line 2"),
            (b"//a", "line 1"),
            (&b"/a\n".repeat(MOST + 1), "16385 paths"),
        ] {
            let error = read(text).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn images_and_applications_have_sets() {
        let image = subject("localhost:5000/shop/web:1", false).unwrap();
        assert_eq!(image, Subject::Image("shop/web".to_owned()));
        let application = subject("shop", true).unwrap();
        assert_eq!(application.to_string(), "app shop");
        for (name, is_application) in [("A B", false), ("a/b", true)] {
            assert!(subject(name, is_application).is_err(), "{name}");
        }
        assert!(class("pi-4").is_ok() && class("pi 4").is_err());
    }
}
