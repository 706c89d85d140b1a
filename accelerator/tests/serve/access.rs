//! Who may read what, and that nothing tells of the rest: neither a refusal nor a plan that somebody else asked for, nor what
//! a device says that it holds.

use crate::common::memory::{Files, Memory};
use crate::common::{Answer, ask_with, get_with, layout, ranges, request};
use crate::{held, plan_id, runtime};
use sha2::{Digest as _, Sha256};
use skiff_accelerator::access::{Access, Gate, Pattern};
use skiff_accelerator::library::Images;
use skiff_accelerator::meter::Meter;
use skiff_accelerator::packs::encoding::Levels;
use skiff_accelerator::serve::Service;
use skiff_accelerator::serve::library::{Library as _, Planned};
use skiff_protocol::record::Parent;
use skiff_protocol::request::{Codecs, DeployRequest, Held, Hydration, Part, Want};
use skiff_protocol::response::{FailureCode, Notice};
use skiff_protocol::{Digest, Version};
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use tokio::runtime::Runtime;

const OPEN: Files = &[("a", 1, 100), ("b", 2, 5000)];
const SECRET: Files = &[("a", 1, 100), ("key", 3, 6000)];
/// What `OPEN` is much like.
const ALIKE: Files = &[("b", 2, 4900)];

const OPERATOR: &str = "Authorization: Bearer operator\r\n";
const DEVICE: &str = "Authorization: Bearer device\r\n";

fn line(token: &str, repositories: &str) -> String {
    let hash = Digest(Sha256::digest(token).into());
    format!("token {} {repositories}\n", hash.hex())
}

/// A service where the operator may read all, and the device `open/…`.
fn serve(runtime: &Runtime, policy: &Path) -> SocketAddr {
    std::fs::write(policy, line("operator", "**") + &line("device", "open/*")).unwrap();
    let open = [("open/a", OPEN), ("open/c", OPEN)];
    let secret = [("secret/b", SECRET), ("secret/d", ALIKE)];
    let memory = Memory::new(&[open, secret].concat());
    let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
    let applications = [("shop", names(&["open/a"])), ("vault", names(&["open/a", "secret/b"]))];
    *memory.applications.lock().unwrap() = applications.into();
    let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
    let address = listener.local_addr().unwrap();
    let service =
        Service::new(Arc::new(memory), Levels::default()).behind(Gate::new(policy).unwrap());
    runtime.spawn(service.run(listener, std::future::pending()));
    address
}

/// The service, in a place of its own.
struct Ground {
    _runtime: Runtime,
    directory: tempfile::TempDir,
    address: SocketAddr,
}

impl Ground {
    fn new() -> Self {
        let (runtime, directory) = (runtime(), tempfile::tempdir().unwrap());
        let address = serve(&runtime, &directory.path().join("policy"));
        Self { _runtime: runtime, directory, address }
    }

    fn ask(&self, who: &str, request: &DeployRequest<'_>) -> Answer {
        ask_with(self.address, who, request).unwrap()
    }
}

#[test]
fn nobody_is_let_in_without_a_token() {
    let ground = Ground::new();
    let wrong = "Authorization: Bearer Device\r\n";
    let basic = "Authorization: Basic device\r\n";
    for headers in ["", wrong, basic, "Authorization: device\r\n", "Authorization: Bearer \r\n"] {
        let asked = request(&["open/a"], &[]);
        assert_eq!(ask_with(ground.address, headers, &asked).unwrap_err(), 401, "{headers}");
        for path in ["/v1/graph", "/metrics"] {
            assert_eq!(get_with(ground.address, path, headers).0, 401, "{headers} {path}");
        }
        assert_eq!(get_with(ground.address, "/healthz", headers).0, 200);
    }
    for (who, status) in [(DEVICE, 403), (OPERATOR, 200)] {
        for path in ["/v1/graph", "/metrics"] {
            assert_eq!(get_with(ground.address, path, who).0, status, "{who} {path}");
        }
    }
}

#[test]
fn a_refusal_does_not_say_what_there_is() {
    let ground = Ground::new();
    let said = |want: Want<'_>, version| {
        let asked = DeployRequest { want, version, ..request(&[], &[]) };
        let answer = ground.ask(DEVICE, &asked);
        answer.failure.map(|(code, message)| (code, message, answer.bytes))
    };
    let images = |names: &[&'static str]| Want::Images(names.iter().copied().collect());
    assert_eq!(said(images(&["open/a"]), Version::CURRENT), None);
    assert_eq!(said(Want::Application("shop"), Version::CURRENT), None);
    for (there, absent) in [
        (images(&["secret/b"]), images(&["secret/x"])),
        (images(&["open/a", "secret/b"]), images(&["open/a", "secret/x"])),
        (images(&["host:5000/secret/b"]), images(&["host:5000/secret/x"])),
        (Want::Application("vault"), Want::Application("vaulx")),
    ] {
        for (version, expected) in [
            (Version::CURRENT, FailureCode::Denied),
            (Version { major: 1, minor: 2 }, FailureCode::NotFound),
        ] {
            let there_said = said(there.clone(), version).unwrap();
            let (code, message, bytes) = said(absent.clone(), version).unwrap();
            assert_eq!((code, bytes), (expected, there_said.2), "{there:?}");
            let renamed = message.replace("secret/x", "secret/b").replace("vaulx", "vault");
            assert_eq!((there_said.0, there_said.1), (expected, renamed));
        }
    }
    let answer = ground.ask(OPERATOR, &request(&["secret/x"], &[]));
    assert_eq!(answer.failure().0, FailureCode::NotFound);
}

#[test]
fn a_plan_is_for_those_who_may_read_all_of_it() {
    let ground = Ground::new();
    // One that stays in memory, and one that is made again from its inputs.
    for cold_files in [0, 9] {
        let hydration = Hydration { cold_files, ..Hydration::default() };
        let whole = DeployRequest { hydration, ..request(&["open/a", "secret/b"], &[]) };
        let answer = ground.ask(OPERATOR, &whole);
        let plan = plan_id(&answer);
        let repair = Part::Repair { plan, contents: ranges(&[0, 1, 2]) };
        let by_digest = format!("open/a@{}", answer.images[1].1);
        for name in ["open/a", &by_digest] {
            let asked = DeployRequest { part: repair.clone(), ..request(&[name], &[]) };
            let answer = ground.ask(OPERATOR, &asked);
            assert_eq!(answer.space().len(), 100 + 5000 + 6000, "{name}");
            let answer = ground.ask(DEVICE, &asked);
            assert_eq!(answer.failure().0, FailureCode::PlanChanged, "{name}");
            assert!(answer.packs.is_empty());
        }
        let resume = Part::Resume { plan, have: ranges(&[]) };
        let asked = DeployRequest { part: resume, ..whole };
        assert_eq!(ground.ask(DEVICE, &asked).failure().0, FailureCode::Denied);
    }
    let vault = DeployRequest { want: Want::Application("vault"), ..request(&[], &[]) };
    let part =
        Part::Repair { plan: plan_id(&ground.ask(OPERATOR, &vault)), contents: ranges(&[0]) };
    let asked = DeployRequest { part, ..vault };
    assert!(ground.ask(OPERATOR, &asked).failure.is_none());
    assert_eq!(ground.ask(DEVICE, &asked).failure().0, FailureCode::Denied);
}

#[test]
fn what_a_device_says_that_it_holds_tells_it_nothing() {
    let ground = Ground::new();
    let secret: Held<'_> = held("secret/b");
    let whole = request(&["open/a"], &[secret]);
    let answer = ground.ask(OPERATOR, &whole);
    assert_eq!((&answer.notices[..], answer.layers[0].0.parent), (&[][..], Parent::Held(0)));
    let resume = Part::Resume { plan: plan_id(&answer), have: ranges(&[]) };
    let absent = Held { manifest: Digest([9; 32]), ..secret };
    let alone = ground.ask(DEVICE, &request(&["open/a"], &[absent]));
    for (asked, is_whole) in
        [(&whole, true), (&DeployRequest { part: resume, ..whole.clone() }, false)]
    {
        let answer = ground.ask(DEVICE, asked);
        assert_eq!(answer.notices, [Notice::HeldUnknown(0)]);
        if is_whole {
            assert_eq!(answer.layers[0].0.parent, Parent::None);
            assert_eq!((&answer.layers, &answer.contents), (&alone.layers, &alone.contents));
            assert!(answer.contents.iter().all(|content| content.held.is_none()));
        } else {
            assert_eq!(answer.failure().0, FailureCode::PlanChanged);
        }
    }
    let answer = ground.ask(DEVICE, &request(&["open/a"], &[held("open/c")]));
    assert!(answer.notices.is_empty() && answer.contents.is_empty());
}

#[test]
fn a_patch_tells_nothing_of_an_image_that_a_device_may_not_read() {
    let ground = Ground::new();
    let held = [held("secret/d")];
    let patches = Codecs::DEFLATE.and(Codecs::PATCHES);
    let whole = DeployRequest { codecs: patches, ..request(&["open/a"], &held) };
    let answer = ground.ask(OPERATOR, &whole);
    assert_eq!(answer.notices, [Notice::PatchBase(0)]);
    let plan = plan_id(&answer);
    let own = ground.ask(DEVICE, &whole);
    assert!(!own.notices.contains(&Notice::PatchBase(0)) && own.scripts.is_empty());
    // Who knows the plan's name gets its packs, but no patches.
    let part = Part::Rest { plan, have: ranges(&[]) };
    let rest = DeployRequest { part, ..whole };
    assert_eq!(ground.ask(DEVICE, &rest).failure().0, FailureCode::PlanChanged);
    let rest = DeployRequest { codecs: Codecs::DEFLATE, ..rest };
    let answer = ground.ask(DEVICE, &rest);
    assert!(answer.failure.is_none() && answer.scripts.is_empty());
}

#[test]
fn a_policy_that_changes_counts_at_once() {
    let ground = Ground::new();
    let policy = ground.directory.path().join("policy");
    let asked = request(&["open/a"], &[]);
    let now = |who| ask_with(ground.address, who, &asked).map(|answer| answer.failure.is_none());
    assert_eq!(now(DEVICE), Ok(true));
    std::fs::write(&policy, line("operator", "**") + &line("device", "other/*")).unwrap();
    assert_eq!(now(DEVICE), Ok(false));
    std::fs::write(&policy, line("operator", "**")).unwrap();
    assert_eq!(now(DEVICE), Err(401));
    // Not whole, or wrong: what was there before stays.
    for text in ["", "tok", "token abc **"] {
        std::fs::write(&policy, text).unwrap();
        assert_eq!((now(DEVICE), now(OPERATOR)), (Err(401), Ok(true)), "{text}");
    }
    std::fs::write(&policy, line("device", "open/a")).unwrap();
    assert_eq!((now(DEVICE), now(OPERATOR)), (Ok(true), Err(401)));
}

/// A device can name any repository for an image that it says it holds, and images are found by their manifest.
#[test]
fn an_image_is_of_a_repository_that_it_is_or_was_in() {
    let runtime = runtime();
    let directory = tempfile::tempdir().unwrap();
    let place = |repository: &str| {
        let root = directory.path().join("root").join(repository);
        std::fs::create_dir_all(&root).unwrap();
        std::fs::write(root.join("file"), repository).unwrap();
        let mut tar = Command::new("tar");
        let tar = tar.args(["-cf-", "-C"]).arg(&root).arg("file").output().unwrap();
        assert!(tar.status.success());
        let images = directory.path().join("images").join(repository);
        layout::layout(&images, tar.stdout, "{}")[0].0
    };
    let (open, secret) = (place("open"), place("secret"));
    let registry = format!("oci:{}/images", directory.path().display());
    let data = directory.path().join("data");
    let images = runtime.block_on(Images::open(&registry, &data, 1 << 20, None)).unwrap();
    let platform = request(&[], &[]).platform;
    let tree = |name: &str| {
        let meter = Meter::default();
        runtime.block_on(images.image(name, &platform, &meter)).unwrap().tree_digest
    };
    let (open_tree, secret_tree) = (tree("open:1"), tree("secret:1"));
    let device = Access::Only([Pattern::parse("open").unwrap()].into());
    let is_in = |access: &Access, name: &str, manifest, tree| {
        runtime.block_on(images.is_in(access, name, manifest, tree)).unwrap()
    };
    for (name, manifest, tree, expected) in [
        ("open:0", open, open_tree, true),
        ("open:0", secret, secret_tree, false),
        ("secret:1", secret, secret_tree, false),
        ("secret:1", open, open_tree, false),
    ] {
        assert_eq!(is_in(&device, name, manifest, tree), expected, "{name} {manifest}");
        assert!(is_in(&Access::Open, name, manifest, tree));
    }
    // What devices got from a repository they may hold, also if it is there no more.
    std::fs::remove_dir_all(directory.path().join("images/open")).unwrap();
    assert!(!is_in(&device, "open:0", open, open_tree));
    let names = vec![("host:5000/open:1".to_owned(), open_tree)];
    let planned = Planned {
        id: Digest([7; 32]),
        inputs: Vec::new(),
        bases: Vec::new(),
        deltas: Vec::new(),
        names,
    };
    runtime.block_on(images.keep_plan(planned)).unwrap();
    assert!(is_in(&device, "open:0", open, open_tree));
    assert!(!is_in(&device, "open:0", secret, secret_tree));
}
