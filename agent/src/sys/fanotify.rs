//! fanotify in its plain form (`fanotify(7)`): what is opened, told afterwards. It needs
//! `CONFIG_FANOTIFY`, `CAP_SYS_ADMIN` and, for marks on a file system, Linux 4.20.

use super::checked;
use rustix::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use rustix::io::{Errno, Result};
use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Bytes of an event without further records.
const EVENT: usize = 24;
/// What is read at once.
const BUFFER: usize = 170 * EVENT;

/// A group: marks and a queue of events.
#[derive(Debug)]
pub struct Fanotify {
    group: OwnedFd,
}

/// What the queue holds.
#[derive(Debug)]
pub enum Event {
    /// A file was opened. The descriptor is of the same file, opened for reading.
    Opened(OwnedFd),
    /// The queue was full: events are missing here.
    Lost,
}

impl Fanotify {
    /// A new group without marks. Reading its events never waits, neither for one nor for a file under
    /// a lease.
    pub fn new() -> Result<Self> {
        let flags = libc::FAN_CLASS_NOTIF | libc::FAN_CLOEXEC | libc::FAN_NONBLOCK;
        let files = libc::O_RDONLY
            | libc::O_LARGEFILE
            | libc::O_CLOEXEC
            | libc::O_NOATIME
            | libc::O_NONBLOCK;
        // SAFETY: no memory is passed.
        let group = checked(unsafe { libc::fanotify_init(flags, files.cast_unsigned()) })?;
        // SAFETY: the kernel has just made the descriptor, for us alone.
        Ok(Self { group: unsafe { OwnedFd::from_raw_fd(group) } })
    }

    /// From now on opens on the file system that holds this path are told, whatever mount they go through.
    pub fn mark_filesystem(&self, path: &Path) -> Result<()> {
        let path = CString::new(path.as_os_str().as_bytes()).map_err(|_| Errno::INVAL)?;
        let flags = libc::FAN_MARK_ADD | libc::FAN_MARK_FILESYSTEM;
        let (group, mask) = (self.group.as_raw_fd(), libc::FAN_OPEN);
        // SAFETY: `path` ends with a zero byte and lives until the call returns.
        let status =
            unsafe { libc::fanotify_mark(group, flags, mask, libc::AT_FDCWD, path.as_ptr()) };
        checked(status).map(drop)
    }

    /// Reads what the queue holds, up to 170 events; gives how many there were.
    pub fn read(&self, mut each: impl FnMut(Event)) -> Result<usize> {
        let mut buffer = [0; BUFFER];
        let length = match rustix::io::read(&self.group, &mut buffer) {
            Ok(length) => length,
            // Nothing there, or a file that is cold again, gone, or too big for this kernel: dropped.
            Err(Errno::AGAIN | Errno::INTR | Errno::NOENT | Errno::STALE | Errno::OVERFLOW) => 0,
            Err(error) => return Err(error),
        };
        let mut rest = &buffer[..length];
        let mut events = 0;
        while let Some((event, after)) = split(rest) {
            rest = after;
            events += 1;
            if event.mask & libc::FAN_Q_OVERFLOW != 0 {
                each(Event::Lost);
            } else if event.fd >= 0 {
                // SAFETY: the kernel made this descriptor for us when we read the event, and each
                // event is looked at once.
                each(Event::Opened(unsafe { OwnedFd::from_raw_fd(event.fd) }));
            }
        }
        Ok(events)
    }
}

impl AsFd for Fanotify {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.group.as_fd()
    }
}

/// `struct fanotify_event_metadata`, as far as it is used.
#[derive(Debug, PartialEq, Eq)]
struct Metadata {
    mask: u64,
    fd: i32,
}

/// Takes the first event off. Nothing is taken of bytes that are not an event of the version that we know.
fn split(bytes: &[u8]) -> Option<(Metadata, &[u8])> {
    // event_len u32, vers u8, reserved u8, metadata_len u16, mask u64, fd i32, pid i32
    let (event, _) = bytes.split_first_chunk::<EVENT>()?;
    let [a, b, c, d, version, ..] = *event;
    let length = usize::try_from(u32::from_ne_bytes([a, b, c, d])).ok()?;
    if version != libc::FANOTIFY_METADATA_VERSION || length < EVENT {
        return None;
    }
    let mask = u64::from_ne_bytes(*event[8..].first_chunk()?);
    let fd = i32::from_ne_bytes(*event[16..].first_chunk()?);
    Some((Metadata { mask, fd }, bytes.get(length..)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(length: u32, version: u8, mask: u64, fd: i32) -> Vec<u8> {
        let mut bytes = length.to_ne_bytes().to_vec();
        bytes.extend([version, 0]);
        bytes.extend(24u16.to_ne_bytes());
        bytes.extend(mask.to_ne_bytes());
        bytes.extend(fd.to_ne_bytes());
        bytes.extend(77i32.to_ne_bytes());
        bytes.resize(length.max(24) as usize, 0);
        bytes
    }

    #[test]
    fn events_are_split() {
        let mut bytes = event(32, 3, 0x20, 5);
        bytes.extend(event(24, 3, 0x4000, -1));
        let (first, rest) = split(&bytes).unwrap();
        assert_eq!(first, Metadata { mask: 0x20, fd: 5 });
        let (second, rest) = split(rest).unwrap();
        assert_eq!(second, Metadata { mask: 0x4000, fd: -1 });
        assert_eq!(split(rest), None);
        for bad in [&bytes[..23], &event(24, 2, 0, 0), &event(8, 3, 0, 0), &bytes[..31]] {
            assert_eq!(split(bad), None);
        }
    }
}
