//! A whole pull, as the program does it, from a server that answers anything, into a plain directory.
//!
//! The first byte says what the rest is. What stands around it is made right, so that it gets as far as it can:
//!
//! | first byte mod 8 | the rest |
//! |---|---|
//! | 0 to 3 | length of the records (u32 LE), the records, the bytes of the packs |
//! | 4 | the same, for a pull with `--no-devices` |
//! | 5 | the same, and the answer ends before its time |
//! | 6 | frames, whose checksums are put right |
//! | 7 | all that the server sends, HTTP's head included |
//!
//! From 192 on the device has a key that has signed nothing, whatever the answer says.
//!
//! Must hold, whatever the bytes are:
//! - The pull ends.
//! - Nothing outside its directory is made, changed or removed.
//! - After an error there is no image; no snapshot, no scratch file either, but for what the next pull may take over, and what
//!   `skiff gc` removes.
//! - Without an error there is one image, and its layer holds what the records say, each file with the announced
//!   digest; with `--no-devices` no device.
//! - With a key nothing is taken.
//!
//! The planted fault: a directory of snapshots that leads outside, as if the agent followed a planted link.

use crate::answer::{self, REFERENCE};
use crate::chance::Chance;
use crate::{Planted, Target};
use skiff::http::{SecurityOptions, TreeKey};
use skiff::pull::{Budget, GiveUp, Laziness, PullOptions, Wanted, pull};
use skiff::report::Report;
use skiff::state::StateDir;
use skiff_protocol::MEDIA_TYPE;
use skiff_protocol::path::PathBuffer;
use skiff_protocol::record::{Kind, Record, Splitter};
use skiff_tests::compare::{FileType, Tree};
use smol::future::FutureExt;
use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

/// The target.
pub const TARGET: Target = Target { name: "apply", check, generate, inputs: 2_500 };

/// A pull that takes longer hangs.
const PATIENCE: Duration = Duration::from_secs(30);

/// Its body.
#[allow(clippy::expect_used, reason = "that is what it does")]
pub fn check(input: &[u8], planted: Planted) {
    let [mode, rest @ ..] = input else { return };
    let has_key = *mode >= 192;
    let (mode, pack_len) = (mode % 8, 64 << (mode / 8 % 8));
    let (records, plain) = parts(rest);
    let said = match mode {
        0..=4 => http(&answer::body(records, plain, pack_len)),
        5 => {
            let body = answer::body(records, plain, pack_len);
            http(&body[..body.len() - body.len() / 3])
        }
        6 => {
            let mut body = rest.to_vec();
            answer::mend(&mut body);
            http(&body)
        }
        _ => rest.to_vec(),
    };
    let directory = scratch();
    let device = directory.path();
    let (root, outside) = (device.join("device/root"), device.join("outside"));
    fs::create_dir_all(&root).expect("a directory");
    fs::create_dir(&outside).expect("a directory");
    fs::write(outside.join("canary"), "sings").expect("a file");
    if planted.is_fault() {
        symlink(&outside, root.join("snapshots")).expect("a link");
    }
    let before = surroundings(device);
    let no_devices = mode == 4;
    let pulled = run(&root, said, no_devices, has_key);
    assert!(!(pulled && has_key), "a table was taken that is not signed");
    assert_eq!(before, surroundings(device), "something outside was changed");
    if !pulled && !names(&root.join("skiff/pulls")).is_empty() {
        collect(&root);
    }
    let snapshots = names(&root.join("snapshots"));
    let images = names(&root.join("images"));
    assert_eq!(names(&root.join("skiff/pulls")), [""; 0], "scratch files are left");
    if pulled {
        assert_eq!((snapshots.len(), images.len()), (1, 1), "one image");
        let layer = Tree::read(&root.join("snapshots").join(&snapshots[0]).join("fs"));
        let layer = layer.expect("a tree");
        if mode < 6 {
            is_as_said(records, &layer);
        }
        let device = |kind| matches!(kind, FileType::Block | FileType::Character);
        let mut devices = layer.nodes.values().filter(|node| device(node.kind) && node.rdev != 0);
        assert!(!no_devices || devices.next().is_none(), "a device with --no-devices");
    } else {
        assert_eq!((snapshots, images), (vec![], vec![]), "something is left of a refused pull");
        assert_eq!(names(&root.join("content/blobs/sha256")), [""; 0], "blobs are left");
    }
}

/// What `skiff gc` does.
#[allow(clippy::expect_used, reason = "that is what it does")]
fn collect(root: &Path) {
    let mut target = skiff::target::Target::root(root).expect("a directory");
    smol::block_on(target.collect()).expect("nothing that can't be removed");
    StateDir::new(root.join("skiff")).remove_leftovers().expect("nothing that can't be removed");
}

/// Records and content bytes.
fn parts(input: &[u8]) -> (&[u8], &[u8]) {
    let Some((len, rest)) = input.split_first_chunk::<4>() else { return (&[], &[]) };
    let len = usize::try_from(u32::from_le_bytes(*len)).unwrap_or(usize::MAX);
    rest.split_at(len.min(rest.len()))
}

fn http(body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!("HTTP/1.1 200 OK\r\ncontent-type: {MEDIA_TYPE}\r\n");
    [format!("{head}content-length: {length}\r\n\r\n").as_bytes(), body].concat()
}

/// In memory, if there is such a place: a pull syncs.
#[allow(clippy::expect_used, reason = "without a directory nothing can be tried")]
fn scratch() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    let place = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
    tempfile::Builder::new().prefix("skiff-fuzz-").tempdir_in(place).expect("a directory")
}

/// Everything but what is in the root.
#[allow(clippy::expect_used, reason = "that is what it does")]
fn surroundings(device: &Path) -> Tree {
    let mut tree = Tree::read(device).expect("a tree");
    tree.nodes.retain(|path, _| !path.starts_with(b"device/root"));
    tree
}

fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let mut names: Vec<_> =
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// Pulls from a server that says this; whether it went well.
#[allow(clippy::panic, clippy::expect_used, reason = "that is what it does")]
fn run(root: &Path, said: Vec<u8>, no_devices: bool, has_key: bool) -> bool {
    static LISTENING: OnceLock<TcpListener> = OnceLock::new();
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _one = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let listener = LISTENING.get_or_init(|| TcpListener::bind("127.0.0.1:0").expect("a port"));
    let address = listener.local_addr().expect("an address");
    let tree_keys = has_key.then_some(TreeKey::Key(answer::TREE_KEY)).into_iter().collect();
    let security = SecurityOptions { tree_keys, ..SecurityOptions::default() };
    let options = PullOptions {
        wanted: Wanted::Images(vec![REFERENCE.to_owned()]),
        accelerator: format!("http://{address}"),
        dry_run: false,
        security: std::rc::Rc::new(skiff::http::Security::new(security)),
        budget: Budget { tries: Some(1), ..Budget::default() },
        lazy: Laziness::Never,
        no_devices,
        give_up: GiveUp::never(),
    };
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let Ok((mut stream, _)) = listener.accept() else { return };
            let _ = stream.set_read_timeout(Some(PATIENCE));
            let _ = stream.read(&mut [0; 64 << 10]);
            let _ = stream.write_all(&said);
            let _ = stream.shutdown(Shutdown::Write);
            let _ = std::io::copy(&mut stream, &mut std::io::sink());
        });
        let work = async {
            let mut target = skiff::target::Target::root(root).expect("a directory");
            let state = StateDir::new(root.join("skiff"));
            let lock = state.lock().expect("nobody else is there");
            let mut report = Report::silent();
            let pulled = pull(&options, &mut target, &state, &lock, &mut report, None).await;
            pulled.result.is_ok()
        };
        let patience = async {
            smol::Timer::after(PATIENCE).await;
            panic!("the pull hangs");
        };
        smol::block_on(work.or(patience))
    })
}

/// Whether the layer holds the entries of the records, and nothing else.
fn is_as_said(mut records: &[u8], layer: &Tree) {
    let mut splitter = Box::new(Splitter::new());
    let (mut path, mut contents, mut said) = (PathBuffer::new(), Vec::new(), BTreeMap::new());
    while let Ok(Some(record)) = splitter.next(&mut records) {
        match record {
            Record::Content(content) => contents.push((content.size, content.sha256.0)),
            Record::Entry(entry) => {
                let Ok(path) = path.advance(entry.prefix, entry.suffix) else { return };
                said.insert(path.to_vec(), what(&entry.kind, &contents));
            }
            _ => {}
        }
    }
    let there: Vec<_> = layer.nodes.keys().filter(|path| !path.is_empty()).collect();
    assert_eq!(there, said.keys().collect::<Vec<_>>(), "other names than in the records");
    for (path, (kind, size, sha256)) in said {
        let node = &layer.nodes[&path];
        let Some(kind) = kind else { continue };
        assert_eq!(node.kind, kind, "{}", path.escape_ascii());
        if kind == FileType::File {
            assert_eq!((node.size, node.content), (size, sha256), "{}", path.escape_ascii());
        }
    }
}

/// Type, size and digest of what an entry makes; of a hard link they are another entry's.
fn what(
    kind: &Kind<'_>,
    contents: &[(u64, [u8; 32])],
) -> (Option<FileType>, u64, Option<[u8; 32]>) {
    let kind = match kind {
        Kind::Directory { .. } => FileType::Directory,
        Kind::EmptyFile => {
            return (Some(FileType::File), 0, Some(answer::sha256(b"").0));
        }
        Kind::File { content } => {
            let content = usize::try_from(*content).ok().and_then(|number| contents.get(number));
            let (size, sha256) = content.copied().unwrap_or_default();
            return (Some(FileType::File), size, Some(sha256));
        }
        Kind::Symlink { .. } => FileType::Symlink,
        Kind::CharDevice { .. } | Kind::Whiteout => FileType::Character,
        Kind::BlockDevice { .. } => FileType::Block,
        Kind::Fifo => FileType::Fifo,
        _ => return (None, 0, None),
    };
    (Some(kind), 0, None)
}

fn generate(chance: &mut Chance) -> Vec<u8> {
    let (records, plain) = answer::contents(chance);
    let mode = chance.byte();
    let rest = match mode % 8 {
        6 => answer::body(&records, &plain, 1 << 10),
        7 => http(&answer::body(&records, &plain, 1 << 10)),
        _ => {
            let len = u32::try_from(records.len()).unwrap_or(0).to_le_bytes();
            [&len[..], &records, &plain].concat()
        }
    };
    [vec![mode], rest].concat()
}
