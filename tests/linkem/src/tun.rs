//! A TUN interface in a network namespace: what is read from it was sent there, what is written to it arrives
//! there. It goes with its last descriptor.
#![allow(unsafe_code, reason = "attaching to an interface is an ioctl that rustix does not have")]

use super::End;
use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::ioctl::{Setter, ioctl, opcode};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use std::ffi::c_int;
use std::fs::File;
use std::io;
use std::net::Ipv4Addr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::process::Command;
use std::sync::Arc;

/// `TUNSETIFF` (`linux/if_tun.h`): the number's size is an int's, what is passed is an `ifreq`.
const ATTACH: rustix::ioctl::Opcode = opcode::write::<c_int>(b'T', 202);
/// `IFF_TUN | IFF_NO_PI`: IP packets, and nothing in front of them.
const FLAGS: u16 = 0x1001;
/// Longest name and its zero byte.
const NAME: usize = 16;

/// `struct ifreq`, 40 bytes on 64-bit machines and fewer on others.
#[repr(C, align(8))]
struct Request {
    name: [u8; NAME],
    flags: u16,
    _rest: [u8; 22],
}

/// An interface that is up. Clones are the same one.
#[derive(Debug, Clone)]
pub struct Tun(Arc<OwnedFd>);

impl Tun {
    /// Makes one.
    pub fn open(end: &End) -> io::Result<Self> {
        // A thread that has moved to another namespace stays there.
        let made = std::thread::scope(|scope| scope.spawn(|| open(end)).join());
        made.unwrap_or_else(|_| Err(io::Error::other("the set-up of an interface panicked")))
    }
}

impl AsFd for Tun {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

fn open(end: &End) -> io::Result<Tun> {
    let namespace = File::open(&end.namespace)?;
    move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))?;
    let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let tun = openat(CWD, "/dev/net/tun", flags, Mode::empty())?;
    let mut name = [0; NAME];
    let given = end.interface.as_bytes();
    if given.is_empty() || given.len() >= NAME {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "an interface's name is too long"));
    }
    name[..given.len()].copy_from_slice(given);
    let request = Request { name, flags: FLAGS, _rest: [0; 22] };
    // SAFETY: TUNSETIFF reads and writes one `ifreq`, and `Request` is as long and as aligned.
    unsafe { ioctl(&tun, Setter::<ATTACH, Request>::new(request))? };
    configure(&end.interface, end.address)?;
    Ok(Tun(Arc::new(tun)))
}

/// The queue of the interface itself is so long that only the link's own queue drops packets.
fn configure(interface: &str, address: Ipv4Addr) -> io::Result<()> {
    let address = format!("{address}/30");
    ip(&["link", "set", interface, "txqueuelen", "10000", "mtu", "1500", "up"])?;
    ip(&["address", "add", &address, "dev", interface])
}

fn ip(arguments: &[&str]) -> io::Result<()> {
    let output = Command::new("ip").args(arguments).output()?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(io::Error::other(format!("ip {}: {}", arguments.join(" "), said.trim())))
}
