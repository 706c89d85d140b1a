//! What one layer does to those below it.

use super::Repository;
use crate::tarball::Entry;

/// A small tree to take away from.
fn tree(number: u8) -> Vec<Entry> {
    vec![
        Entry::directory("w/").mode(0o711).owner(1, 1),
        Entry::directory("w/d/").mode(0o700).owner(2, 2).xattr("user.kept", "yes"),
        Entry::file("w/d/one", [number]),
        Entry::file("w/d/two", "two"),
        Entry::directory("w/d/deep/"),
        Entry::file("w/d/deep/three", "three"),
        Entry::directory("w/e/"),
        Entry::file("w/e/four", [number, 4]),
        Entry::file("w/file", [number, 5]),
        Entry::symlink("w/link", "d"),
    ]
}

/// Whiteouts of files, of directories, of nothing; of a name that comes again.
pub(super) fn whiteouts() -> Repository {
    let v1 = vec![tree(1)];
    let v2 = vec![
        tree(1),
        vec![Entry::whiteout("w/file"), Entry::whiteout("w/d"), Entry::whiteout("w/link")],
    ];
    let v3 = vec![
        tree(1),
        vec![
            Entry::whiteout("w/d/one"),
            Entry::whiteout("w/nothing"),
            Entry::whiteout("w/link"),
            Entry::whiteout("w/file"),
            Entry::file("w/file", "again"),
        ],
        vec![Entry::file("w/d/one", "back"), Entry::whiteout("w/e/four")],
    ];
    let v4 = vec![
        // In the lowest layer a whiteout removes what the layer itself wrote before.
        [tree(4), vec![Entry::whiteout("w/d/deep/three"), Entry::whiteout("w/none")]].concat(),
        vec![Entry::whiteout("w/e")],
        vec![Entry::directory("w/e/").mode(0o750), Entry::file("w/e/new", "fresh")],
    ];
    // A whiteout in a directory that is nowhere makes that directory.
    let v5 =
        vec![tree(1), vec![Entry::whiteout("w/made/here/gone"), Entry::whiteout("w/d/deep/three")]];
    Repository::of("whiteouts", vec![v1, v2, v3, v4, v5])
}

/// Opaque markers before, after, without their directory's entry, and nested.
pub(super) fn opaque() -> Repository {
    let v1 = vec![tree(1)];
    let before = vec![
        tree(1),
        vec![Entry::opaque("w/d"), Entry::directory("w/d/"), Entry::file("w/d/new", "new")],
    ];
    let after = vec![
        tree(1),
        vec![
            Entry::directory("w/d/").mode(0o770),
            Entry::file("w/d/new", "new"),
            Entry::file("w/d/two", "another two"),
            Entry::opaque("w/d"),
        ],
    ];
    let bare = vec![tree(1), vec![Entry::opaque("w/d"), Entry::opaque("w/e")]];
    let nested = vec![
        tree(1),
        vec![
            Entry::directory("w/"),
            Entry::directory("w/d/"),
            Entry::directory("w/d/deep/"),
            Entry::opaque("w/d/deep"),
            Entry::file("w/d/deep/five", "five"),
        ],
        vec![Entry::opaque("w"), Entry::file("w/d/deep/six", "six")],
    ];
    Repository::of("opaque", vec![v1, before, after, bare, nested])
}

/// File over directory, directory over file and over link, link over both, and back.
pub(super) fn replaced() -> Repository {
    let v1 = vec![tree(1)];
    let v2 = vec![
        tree(1),
        vec![
            Entry::file("w/d", "a file over a directory"),
            Entry::directory("w/file/"),
            Entry::file("w/file/inside", "a directory over a file"),
            // containerd makes a directory here; it doesn't follow the link of the lower layer.
            Entry::directory("w/link/"),
            Entry::file("w/link/inside", "a directory over a link"),
            Entry::symlink("w/e", "file"),
        ],
    ];
    let mut v3 = v2.clone();
    v3.push(vec![
        Entry::directory("w/d/").mode(0o755),
        Entry::file("w/d/one", "nothing of the lowest layer shows"),
        Entry::file("w/file", "a file again"),
        Entry::symlink("w/link", "d"),
        Entry::directory("w/e/"),
    ]);
    // Through a link of a lower layer: the parent is a directory made from what the link points at.
    let v4 = vec![tree(1), vec![Entry::file("w/link/through", "through")]];
    // Through a link of the same layer: followed.
    let v5 = vec![[tree(1), vec![Entry::file("w/link/through", "followed")]].concat()];
    Repository::of("replaced", vec![v1, v2, v3, v4, v5])
}

/// The same name several times in one layer.
pub(super) fn duplicates() -> Repository {
    let v1 = vec![vec![
        Entry::directory("u/").mode(0o700),
        Entry::file("u/a", "first").mode(0o600),
        Entry::file("u/a", "second, longer").owner(1, 1),
        Entry::directory("u/b/"),
        Entry::file("u/b/inside", "x"),
        Entry::file("u/b", "a file now"),
        Entry::file("u/c", "a file"),
        Entry::directory("u/c/"),
        Entry::symlink("u/d", "a"),
        Entry::file("u/d", "not through the link"),
        Entry::directory("u/").mode(0o755).mtime(1_000_000, 0),
        Entry::file("u/e", "a file"),
        Entry::symlink("u/e", "a"),
        Entry::hardlink("u/f", "u/a"),
        Entry::file("u/f", "no more a link"),
    ]];
    let v2 = vec![vec![
        Entry::directory("u/").mode(0o711),
        Entry::file("u/c", ""),
        Entry::symlink("u/b", "c"),
        Entry::directory("u/b/"),
        Entry::file("u/b/inside", "not in c"),
        Entry::fifo("u/a"),
        Entry::file("u/a", "a file after a FIFO"),
        Entry::file("u/d", "a file"),
        Entry::symlink("u/d", "a"),
        Entry::hardlink("u/f", "u/c"),
        Entry::hardlink("u/f", "u/a").mode(0o600),
        Entry::character("u/e", 1, 3),
        Entry::hardlink("u/e", "u/a").mode(0o755),
        // containerd sets directories' times at the end, by name: this file gets the directory's.
        Entry::directory("u/g/").mtime(5_000, 5),
        Entry::file("u/g", "was a directory").mtime(6_000, 6),
    ]];
    let mut v3 = v1.clone();
    v3.push(v1[0][..4].to_vec());
    v3.push(vec![Entry::global("comment", "nothing"), Entry::file("u/a", "third")]);
    Repository::of("duplicates", vec![v1, v2, v3])
}

/// Paths whose parents have no entry, new and over a lower layer's.
pub(super) fn parents() -> Repository {
    let v1 = vec![vec![Entry::file("p/q/r/file", "deep"), Entry::symlink("l/m", "/p/q")]];
    let v2 = vec![
        tree(1),
        vec![
            // Parents keep what the lower layer says of them, attributes too.
            Entry::file("w/d/deep/more", "more"),
            Entry::file("w/e/x/y/z", "z"),
            Entry::fifo("p/q/fifo"),
        ],
    ];
    let mut v3 = v2.clone();
    v3.push(vec![Entry::file("w/d/deep/third", "3"), Entry::directory("w/e/x/").mode(0o500)]);
    v3.push(vec![Entry::file("w/e/x/fourth", "4")]);
    let v4 = vec![vec![
        // The parent's entry comes after its child.
        Entry::file("p/q/file", "child first"),
        Entry::directory("p/q/").mode(0o711).owner(9, 9).mtime(77, 7),
        Entry::directory("p/").mode(0o1755),
    ]];
    Repository::of("parents", vec![v1, v2, v3, v4])
}
