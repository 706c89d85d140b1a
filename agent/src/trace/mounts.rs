//! Finds the root file systems of containers as containerd mounts them.
//!
//! containerd mounts a container's tree on `STATE/io.containerd.runtime.v2.task/NAMESPACE/ID/rootfs`, and only then
//! starts runc. The kernel tells who polls `/proc/self/mountinfo` of every mount (`proc(5)`), so nothing
//! of containerd's needs to be configured or known, and no container starts unseen.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Component, Path, PathBuf};
use std::{ffi::OsString, os::fd::AsFd, os::fd::BorrowedFd};

const MOUNTS: &str = "/proc/self/mountinfo";
/// The directory of containerd's runtime (1.4 and later, also 2.x).
const RUNTIME: &str = "io.containerd.runtime.v2.task";

/// The mounts of this process, watched.
#[derive(Debug)]
pub struct Mounts {
    watched: File,
}

/// A container's root file system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rootfs {
    /// The container's ID.
    pub container: String,
    /// Where it is mounted.
    pub path: PathBuf,
}

impl Mounts {
    /// From now on changes are told: the descriptor is ready for an exceptional condition.
    pub fn watch() -> io::Result<Self> {
        File::open(MOUNTS).map(|watched| Self { watched })
    }

    /// The root file systems of the containers of a namespace.
    pub fn containers(&self, namespace: &str) -> io::Result<Vec<Rootfs>> {
        let mut found: Vec<Rootfs> = Vec::new();
        for line in BufReader::new(File::open(MOUNTS)?).split(b'\n') {
            let rootfs = mount_point(&line?).and_then(|point| rootfs(point, namespace));
            found.extend(rootfs.filter(|rootfs| !found.contains(rootfs)));
        }
        Ok(found)
    }
}

impl AsFd for Mounts {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.watched.as_fd()
    }
}

/// The fifth field of a line of mountinfo.
fn mount_point(line: &[u8]) -> Option<PathBuf> {
    let field = line.split(|&byte| byte == b' ').nth(4)?;
    let mut path = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        // The kernel writes blanks, line ends and backslashes as three octal digits.
        match (byte, after.split_first_chunk::<3>()) {
            (b'\\', Some((&[a, b, c], behind))) => {
                let digits = [a, b, c].map(|digit| digit.wrapping_sub(b'0'));
                if digits.iter().any(|&digit| digit > 7) || digits[0] > 3 {
                    return None;
                }
                path.push(digits[0] << 6 | digits[1] << 3 | digits[2]);
                rest = behind;
            }
            _ => path.push(byte),
        }
    }
    Some(PathBuf::from(OsString::from_vec(path)))
}

fn rootfs(path: PathBuf, namespace: &str) -> Option<Rootfs> {
    let mut names = path.components().rev().map(Component::as_os_str);
    let is = |name: Option<&std::ffi::OsStr>, wanted: &str| name == Some(wanted.as_ref());
    if !is(names.next(), "rootfs") {
        return None;
    }
    let container = names.next()?.to_str()?.to_owned();
    let ours = is(names.next(), namespace) && is(names.next(), RUNTIME);
    ours.then_some(Rootfs { container, path })
}

/// A path as a process of this mount namespace or of the container's own sees it, as the image names
/// it. Before runc makes the tree the container's root, paths begin with where it is mounted; after that they
/// begin there.
pub fn within<'p>(path: &'p [u8], rootfs: &Path) -> Option<&'p [u8]> {
    let mount = rootfs.as_os_str().as_bytes();
    let below = path.strip_prefix(mount).filter(|rest| rest.first() == Some(&b'/'));
    below.unwrap_or(path).strip_prefix(b"/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn containers_of_one_namespace() {
        let line = |path: &str| {
            format!("36 35 0:40 / {path} rw,relatime shared:1 - overlay overlay rw,lowerdir=/l")
        };
        let found = |path: &str| {
            rootfs(mount_point(line(path).as_bytes())?, "default").map(|it| (it.container, it.path))
        };
        let task = "/run/containerd/io.containerd.runtime.v2.task";
        let path = format!("{task}/default/web-1/rootfs");
        assert_eq!(found(&path), Some(("web-1".to_owned(), PathBuf::from(&path))));
        let (id, path) =
            found("/a\\040b\\134/io.containerd.runtime.v2.task/default/x/rootfs").unwrap();
        assert_eq!((&*id, path.to_str().unwrap().split_at(6).0), ("x", "/a b\\/"));
        for other in ["k8s.io/web-1/rootfs", "default/web-1/rootfs/proc", "default/rootfs", ""] {
            assert_eq!(found(&format!("{task}/{other}")), None, "{other}");
        }
        assert_eq!(found("/rootfs"), None);
        for bad in ["1 2 3 4", "", "1 2 3 4 /a\\9zz 6"] {
            assert_eq!(mount_point(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn paths_of_the_image() {
        let rootfs = Path::new("/run/x/rootfs");
        for (path, image) in [
            ("/usr/bin/a", Some("usr/bin/a")),
            ("/run/x/rootfs/usr/bin/a", Some("usr/bin/a")),
            ("/run/x/rootfsy", Some("run/x/rootfsy")),
            ("pipe:[1]", None),
        ] {
            assert_eq!(within(path.as_bytes(), rootfs), image.map(str::as_bytes), "{path}");
        }
    }
}
