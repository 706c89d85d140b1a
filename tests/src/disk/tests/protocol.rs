//! Clients that say what no real one says.

use super::*;

/// A connection that has read the server's greeting.
struct Client(UnixStream);

impl Client {
    fn new(bench: &Bench, flags: u32) -> Self {
        let stream = UnixStream::connect(bench.sandbox.path().join("socket")).unwrap();
        let mut client = Self(stream);
        assert_eq!(client.get(18), *b"NBDMAGICIHAVEOPT\0\x03");
        client.put(&flags.to_be_bytes());
        client
    }

    /// One that is in transmission.
    fn ready(bench: &Bench) -> Self {
        let mut client = Self::new(bench, 3);
        client.option(7, &[0; 6]);
        assert_eq!(client.replies(7), [3, 3, 1]);
        client
    }

    fn put(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).unwrap();
    }

    fn get(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        self.0.read_exact(&mut bytes).unwrap();
        bytes
    }

    fn number(&mut self) -> u32 {
        u32::from_be_bytes(self.get(4).try_into().unwrap())
    }

    fn option(&mut self, option: u32, data: &[u8]) {
        let length = u32::try_from(data.len()).unwrap();
        self.put(&[b"IHAVEOPT", &option.to_be_bytes()[..], &length.to_be_bytes(), data].concat());
    }

    /// The types of the replies to an option, up to the final one.
    fn replies(&mut self, option: u32) -> Vec<u32> {
        let mut kinds = Vec::new();
        while kinds.last().is_none_or(|kind| (2..4).contains(kind)) {
            assert_eq!(self.get(8), 0x0003_e889_0455_65a9_u64.to_be_bytes());
            assert_eq!(self.number(), option);
            kinds.push(self.number());
            let length = self.number();
            self.get(length as usize);
        }
        kinds
    }

    fn request(&mut self, flags: u16, kind: u16, offset: u64, length: u32) {
        let flags = [flags.to_be_bytes(), kind.to_be_bytes()].concat();
        let place = [&offset.to_be_bytes()[..], &length.to_be_bytes()].concat();
        self.put(&[&[0x25, 0x60, 0x95, 0x13][..], &flags, b"a cookie", &place].concat());
    }

    /// The error of the next reply.
    fn error(&mut self) -> u32 {
        assert_eq!(self.number(), 0x6744_6698);
        let error = self.number();
        assert_eq!(self.get(8), b"a cookie");
        error
    }

    /// Has the server ended the connection, without a word?
    fn ends(mut self) -> bool {
        // A reset means that it left something unread.
        matches!(self.0.read(&mut [0; 1]), Ok(0) | Err(_))
    }
}

#[test]
fn options_are_answered_or_end_the_connection() {
    const UNSUP: u32 = 0x8000_0001;
    const INVALID: u32 = 0x8000_0003;
    const UNKNOWN: u32 = 0x8000_0006;
    let bench = bench();
    let mut client = Client::new(&bench, 3);
    let named = |length: u32, rest: &[u8]| [&length.to_be_bytes()[..], rest].concat();
    for (option, data, expected) in [
        (3, vec![], vec![2, 1]),
        (3, vec![1], vec![INVALID]),
        (5, vec![], vec![UNSUP]),
        (8, vec![], vec![UNSUP]),
        (10, vec![7; 100], vec![UNSUP]),
        (u32::MAX, vec![0; 1 << 18], vec![UNSUP]),
        (6, vec![], vec![INVALID]),
        (6, named(u32::MAX, b"\0\0"), vec![INVALID]),
        (6, named(0, b"\0\x01"), vec![INVALID]),
        (6, named(0, b"\0\0\0"), vec![INVALID]),
        (7, named(3, b"abc\0\0"), vec![UNKNOWN]),
        (7, named(4, b"abc\0\0"), vec![INVALID]),
        (6, named(0, b"\0\x02\0\x03\0\x63"), vec![3, 3, 1]),
        (7, named(0, b"\0\x01\0\x03"), vec![3, 3, 1]),
    ] {
        client.option(option, &data);
        assert_eq!(client.replies(option), expected, "option {option}");
    }
    client.request(0, 3, 0, 0);
    assert_eq!(client.error(), 0);

    for (flags, padding) in [(1, 124), (3, 0), (0, 124)] {
        let mut client = Client::new(&bench, flags);
        client.option(1, b"");
        assert_eq!(client.get(10), [&SIZE.to_be_bytes()[..], &[0, 0x6d]].concat());
        assert_eq!(client.get(padding), vec![0; padding]);
        client.request(0, 3, 0, 0);
        assert_eq!(client.error(), 0);
    }

    let mut client = Client::new(&bench, 3);
    client.option(2, b"");
    assert_eq!(client.replies(2), [1]);
    assert!(client.ends());
    assert!(Client::new(&bench, 4).ends());
    let mut client = Client::new(&bench, 3);
    client.option(1, b"other");
    assert!(client.ends());
    for bytes in [&b"IHAVEOPS\0\0\0\x03\0\0\0\0"[..], b"IHAVEOPT\0\0\0\x07\xff\xff\xff\xff"] {
        let mut client = Client::new(&bench, 3);
        client.put(bytes);
        assert!(client.ends());
    }
}

#[test]
fn requests_are_answered_or_end_the_connection() {
    const EINVAL: u32 = 22;
    const ENOSPC: u32 = 28;
    const LAST: u64 = SIZE - 512;
    let bench = bench();
    let mut client = Client::ready(&bench);
    for (flags, kind, offset, length, expected) in [
        // Reads.
        (0, 0, 1, 512, EINVAL),
        (0, 0, 0, 511, EINVAL),
        (0, 0, LAST, 1024, EINVAL),
        (0, 0, u64::MAX - 511, 512, EINVAL),
        (0, 0, 0, u32::MAX - 511, EINVAL),
        (4, 0, 0, 512, EINVAL),
        (0, 0, SIZE, 0, 0),
        // Writes, with their data.
        (0, 1, 7, 512, EINVAL),
        (0, 1, LAST, 1024, ENOSPC),
        (0, 1, u64::MAX - 511, 512, ENOSPC),
        (2, 1, 0, 512, EINVAL),
        (0, 1, 0, 0, 0),
        (1, 1, LAST, 512, 0),
        // Flushes.
        (0, 3, 0, 512, EINVAL),
        (0, 3, 512, 0, EINVAL),
        (1, 3, 0, 0, 0),
        // Trims and zeros.
        (0, 4, 0, u32::MAX, EINVAL),
        (2, 4, 0, 512, EINVAL),
        (0, 6, 0, u32::MAX, ENOSPC),
        (0, 6, 0, 100, EINVAL),
        (0x10, 6, 0, 512, EINVAL),
        (3, 6, LAST, 512, 0),
        (0, 4, 512, 0, 0),
        // What was not offered, and what there is not.
        (0, 5, 0, 512, EINVAL),
        (0, 7, 0, 512, EINVAL),
        (0, u16::MAX, 0, 512, EINVAL),
        (0x8000, 3, 0, 0, EINVAL),
    ] {
        client.request(flags, kind, offset, length);
        if kind == 1 {
            client.put(&vec![9; length as usize]);
        }
        assert_eq!(client.error(), expected, "{flags} {kind} {offset} {length}");
    }
    client.request(1, 0, 0, 512);
    assert_eq!(client.error(), 0);
    assert_eq!(client.get(512), [b'b'; 512]);
    client.request(0, 1, 0, 512);
    client.put(&[9; 512]);
    assert_eq!(client.error(), 0);
    client.request(0, 2, 0, 0);
    assert!(client.ends());
    // To disconnect is not to flush.
    assert_eq!(bench.disk.cut(Cut::DropAll), Lost { kept: 0, dropped: 1 });

    let mut client = Client::ready(&bench);
    client.request(0, 1, 0, (1 << 25) + 512);
    assert!(client.ends());
    let mut client = Client::ready(&bench);
    client.put(&[0x5a; 28]);
    assert!(client.ends());
    bench.holds(b'b', "0 1M");
}

#[test]
fn an_error_of_the_host_is_an_error_of_the_disk() {
    let bench = bench();
    let mut client = Client::ready(&bench);
    let base = File::options().write(true).open(bench.sandbox.path().join("base")).unwrap();
    base.set_len(512).unwrap();
    client.request(0, 0, 0, 1024);
    assert_eq!(client.error(), 5);
    client.request(0, 0, 0, 512);
    assert_eq!(client.error(), 0);
    assert_eq!(client.get(512), [b'b'; 512]);
}

#[test]
fn noise_does_no_harm() {
    let bench = bench();
    for seed in 0..200 {
        let mut random = SplitMix64(seed);
        let mut client = if seed % 2 == 0 { Client::new(&bench, 3) } else { Client::ready(&bench) };
        for _ in 0..20 {
            let number = random.next();
            let [a, b, c, d, ..] = number.to_be_bytes();
            let bytes = if seed % 2 == 0 {
                [&b"IHAVEOPT\0\0\0"[..], &[a % 12, 0, 0, 0, b % 16, c, d]].concat()
            } else {
                let kind = [0, b % 4, 0, a % 8];
                [b"\x25\x60\x95\x13", &kind[..], &[c; 8], &[0; 5], &[d, c & 2, 0, 0, 0, 4, 0]]
                    .concat()
            };
            // The server may have ended it already.
            if client.0.write_all(&bytes).is_err() {
                break;
            }
        }
    }
    bench.disk.reset();
    bench.holds(b'b', "0 1M");
}

/// A request that was under way at the cut is not done after it, even if it was read in whole.
#[test]
fn a_cut_ends_connections() {
    let bench = bench();
    let mut client = Client::ready(&bench);
    client.request(0, 1, 0, 1024);
    client.put(&[9; 1000]);
    let mut idle = Client::ready(&bench);
    idle.request(0, 3, 0, 0);
    assert_eq!(idle.error(), 0);
    let waiting = Session::open(&bench.disk.shared, &UnixStream::pair().unwrap().0).unwrap();
    let write = |medium: &mut Medium| medium.write(0, Change::Bytes(&[9; 512]), true);
    assert_eq!(bench.disk.cut(Cut::Seeded(7)), Lost::default());
    assert!(waiting.with(write).is_err());
    let _ = client.0.write_all(&[9; 24]);
    assert!(client.ends());
    assert!(idle.ends());
    bench.holds(b'b', "0 1M");
    let socket = bench.sandbox.path().join("socket");
    drop(bench.disk);
    assert!(UnixStream::connect(socket).is_err());
}
