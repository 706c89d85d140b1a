//! The emulated link, and a pull over it.
#![allow(clippy::unwrap_used, reason = "tests")]

use skiff_linkem::Model;
use skiff_tests::harness::{Accelerator, Registry, Sandbox, Skiff, Wan, wait_for};
use skiff_tests::layout::{Image, Layer, Layout};
use skiff_tests::random::SplitMix64;
use skiff_tests::tarball::Entry;
use std::net::UdpSocket;
use std::time::Duration;

/// Bytes of IP and UDP headers.
const HEADERS: u64 = 28;

#[test]
fn datagrams_come_whole_and_in_order_and_are_counted() {
    let model = Model::symmetric(Duration::from_millis(20), 100_000_000);
    let wan = Wan::new(model);
    let receiver = wan.device.inside(|| UdpSocket::bind((Wan::DEVICE, 0)).unwrap());
    receiver.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let sender = wan.cloud.inside(|| UdpSocket::bind((Wan::CLOUD, 0)).unwrap());
    let to = receiver.local_addr().unwrap();
    let mut got = [0; 2000];
    for round in 0..10u32 {
        // 30 packets are less than the queue holds.
        for number in 0..30u32 {
            let text = [round.to_le_bytes(), number.to_le_bytes()].concat();
            sender.send_to(&text.repeat(100), to).unwrap();
        }
        for number in 0..30u32 {
            let text = [round.to_le_bytes(), number.to_le_bytes()].concat();
            let length = receiver.recv(&mut got).unwrap();
            assert_eq!(&got[..length], &*text.repeat(100), "{round}, {number}");
        }
    }
    let [there, _] = wan.link.counts();
    assert_eq!((there.dropped, there.lost, there.cut), (0, 0, 0), "{there:?}");
    // The kernel itself says a word or two as an interface comes up.
    assert!((300..320).contains(&there.arrived), "{there:?}");
    assert!(there.bytes >= 300 * (800 + HEADERS), "{there:?}");
}

#[test]
fn a_pull_outlives_a_cut_and_losses() {
    let sandbox = Sandbox::new();
    let there = Model { loss: 0.005, ..Model::symmetric(Duration::from_millis(60), 16_000_000) };
    let wan = Wan::with(there, Model { loss: 0.0, ..there });
    let layout = Layout::create(&sandbox.directory("layouts"), "noise");
    let mut random = SplitMix64(5);
    let mut noise = || (0..500_000).flat_map(|_| random.next().to_le_bytes()).collect::<Vec<u8>>();
    let layer = Layer::new(&[Entry::file("a", noise()), Entry::file("b", noise())]);
    layout.add("v1", &Image::new(vec![layer]));
    let registry = Registry::start_in(&sandbox, &wan.cloud, Wan::CLOUD);
    let image = wan.cloud.inside(|| registry.push(&layout, "v1"));
    let url = format!("http://{}", registry.host);
    let data = sandbox.directory("accelerator");
    let accelerator = Accelerator::start_at(&data, &url, &wan.cloud, Wan::CLOUD);
    let root = sandbox.directory("root");
    let skiff = Skiff::root(&sandbox, &root);
    let pull = wan
        .device
        .inside(|| skiff.start(&["pull", "--json", "--accelerator", &accelerator.url(), &image]));
    let link = &wan.link;
    let begun = wait_for(Duration::from_secs(60), || link.counts()[0].bytes > 1_000_000);
    assert!(begun, "{:?}", link.counts());
    link.cut();
    let before = link.counts()[0];
    // The cloud sends into the cut: nothing of it arrives.
    let cut = wait_for(Duration::from_secs(60), || link.counts()[0].cut > before.cut + 2);
    assert!(cut, "{:?}", link.counts());
    assert_eq!(link.counts()[0].arrived, before.arrived);
    link.restore();
    let outcome = pull.finish().ok("pull");
    assert_eq!(outcome.number("requests"), 1);
    let there = wan.link.counts()[0];
    assert!(there.lost > 0 && there.bytes > 8_000_000, "{there:?}");
    let tree = skiff.tree(&image).unwrap();
    assert_eq!(tree.content_bytes(&Default::default()).0, 8_000_000);
}
