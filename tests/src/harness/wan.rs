//! A cloud and a device, with a slow link between them.

use super::netns::NetNs;
use skiff_linkem::{End, Link, Model};
use std::net::Ipv4Addr;

/// The congestion control of most devices and registries.
const CONGESTION_CONTROL: &str = "cubic";

/// Two network namespaces and the link between them.
#[derive(Debug)]
pub struct Wan {
    // The link goes first.
    /// The link; from the cloud to the device is its first direction.
    pub link: Link,
    /// Where registry and accelerator are.
    pub cloud: NetNs,
    /// Where containerd and skiff are.
    pub device: NetNs,
}

impl Wan {
    /// The cloud's address, as the device sees it.
    pub const CLOUD: &str = "10.99.1.1";
    /// The device's address, as the cloud sees it.
    pub const DEVICE: &str = "10.99.1.2";

    /// A link that is like this in both directions.
    pub fn new(model: Model) -> Self {
        Self::with(model, model)
    }

    /// A link that is like this towards the device, and like that back.
    pub fn with(there: Model, back: Model) -> Self {
        Self::over([there, back], CONGESTION_CONTROL)
    }

    /// The same, and both ends have this congestion control.
    pub fn over([there, back]: [Model; 2], congestion_control: &str) -> Self {
        let (cloud, device) = (NetNs::new(), NetNs::new());
        allow(congestion_control);
        for netns in [&cloud, &device] {
            let setting = setting("tcp_congestion_control");
            netns.inside(|| std::fs::write(setting, congestion_control).unwrap());
        }
        let end = |netns: &NetNs, address: &str| End {
            namespace: netns.path().into(),
            interface: "wan".to_owned(),
            address: address.parse::<Ipv4Addr>().unwrap(),
        };
        let ends = [end(&cloud, Self::CLOUD), end(&device, Self::DEVICE)];
        let link = Link::new(&ends[0], &ends[1], there, back).unwrap();
        Self { link, cloud, device }
    }
}

fn setting(name: &str) -> String {
    format!("/proc/sys/net/ipv4/{name}")
}

/// Namespaces may choose only what the machine allows to everybody. That list stays longer by one.
fn allow(congestion_control: &str) {
    let read = |name: &str| std::fs::read_to_string(setting(name)).unwrap();
    let allowed = read("tcp_allowed_congestion_control");
    if allowed.split_whitespace().any(|word| word == congestion_control) {
        return;
    }
    let more = format!("{} {congestion_control}", allowed.trim());
    std::fs::write(setting("tcp_allowed_congestion_control"), more).unwrap_or_else(|error| {
        let available = read("tcp_available_congestion_control");
        panic!(
            "this kernel has no TCP congestion control {congestion_control:?} ({error}), but {}; \
             it may be a module: modprobe tcp_{congestion_control}",
            available.trim()
        )
    });
}
