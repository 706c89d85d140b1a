use super::client::Holder;
use super::keep::keep;
use crate::cold::Inode;
use rustix::fd::OwnedFd;
use std::fs::File;

#[test]
fn descriptors_outlive_who_had_them() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("holder.sock");
    let path = socket.clone();
    let holder = std::thread::spawn(move || keep(&path));
    let first = Holder::connect(&socket, true).unwrap();
    assert!(first.take().unwrap().is_empty());
    // More than go into one message.
    let files: Vec<OwnedFd> = (0..450)
        .map(|n| File::create_new(directory.path().join(n.to_string())).unwrap().into())
        .collect();
    first.hold(files.iter()).unwrap();
    let inodes: Vec<Inode> = files.iter().map(|file| Inode::of(file).unwrap()).collect();
    first.forget(&inodes[..150]).unwrap();
    drop((first, files));

    let second = Holder::connect(&socket, true).unwrap();
    let mut kept: Vec<Inode> = Vec::new();
    for (inode, file) in second.take().unwrap() {
        assert_eq!(Inode::of(&file).unwrap(), inode);
        kept.push(inode);
    }
    kept.sort_unstable();
    let mut expected = inodes[150..].to_vec();
    expected.sort_unstable();
    assert!(kept == expected, "{} descriptors, not {}", kept.len(), expected.len());
    assert!(keep(&socket).unwrap_err().to_string().contains("running already"));
    second.quit();
    holder.join().unwrap().unwrap();
}
