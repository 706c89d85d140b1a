//! Makes tars for tests, byte by byte, so that they can be wrong in any way.

use super::AppliedLayer;

#[derive(Debug, Clone)]
pub(crate) struct Item {
    pub kind: u8,
    pub name: Vec<u8>,
    pub link: Vec<u8>,
    pub mode: u32,
    pub owner: (u32, u32),
    pub mtime: u64,
    pub dev: (u32, u32),
    pub data: Vec<u8>,
    pub magic: [u8; 8],
    pub pax: Vec<u8>,
}

fn item(kind: u8, name: &str) -> Item {
    Item {
        kind,
        name: name.into(),
        link: Vec::new(),
        mode: 0o644,
        owner: (0, 0),
        mtime: 1,
        dev: (0, 0),
        data: Vec::new(),
        magic: *b"ustar\x0000",
        pax: Vec::new(),
    }
}

pub(crate) fn file(name: &str, data: &str) -> Item {
    Item { data: data.into(), ..item(b'0', name) }
}

pub(crate) fn dir(name: &str) -> Item {
    item(b'5', name).mode(0o755)
}

pub(crate) fn symlink(name: &str, target: &str) -> Item {
    Item { link: target.into(), ..item(b'2', name) }
}

pub(crate) fn hard_link(name: &str, target: &str) -> Item {
    Item { link: target.into(), ..item(b'1', name) }
}

pub(crate) fn device(name: &str, major: u32, minor: u32) -> Item {
    Item { dev: (major, minor), ..item(b'3', name) }
}

pub(crate) fn other(kind: u8, name: &str, data: &[u8]) -> Item {
    Item { data: data.to_vec(), ..item(kind, name) }
}

impl Item {
    pub(crate) fn mode(self, mode: u32) -> Self {
        Self { mode, ..self }
    }

    pub(crate) fn owner(self, uid: u32, gid: u32) -> Self {
        Self { owner: (uid, gid), ..self }
    }

    pub(crate) fn mtime(self, mtime: u64) -> Self {
        Self { mtime, ..self }
    }

    pub(crate) fn pax(mut self, key: &str, value: &[u8]) -> Self {
        let rest = key.len() + value.len() + 3;
        let mut len = rest + 1;
        while len != rest + len.to_string().len() {
            len = rest + len.to_string().len();
        }
        self.pax.extend(format!("{len} {key}=").as_bytes());
        self.pax.extend(value);
        self.pax.push(b'\n');
        self
    }

    pub(crate) fn xattr(self, name: &str, value: &str) -> Self {
        self.pax(&format!("SCHILY.xattr.{name}"), value.as_bytes())
    }

    fn header(&self) -> [u8; 512] {
        let mut block = [0; 512];
        let mut put = |at: usize, bytes: &[u8]| block[at..at + bytes.len()].copy_from_slice(bytes);
        put(0, &self.name[..self.name.len().min(100)]);
        put(100, format!("{:07o}", self.mode).as_bytes());
        put(108, format!("{:07o}", self.owner.0).as_bytes());
        put(116, format!("{:07o}", self.owner.1).as_bytes());
        put(124, format!("{:011o}", self.data.len()).as_bytes());
        put(136, format!("{:011o}", self.mtime).as_bytes());
        put(156, &[self.kind]);
        put(157, &self.link[..self.link.len().min(100)]);
        put(257, &self.magic);
        put(329, format!("{:07o}", self.dev.0).as_bytes());
        put(337, format!("{:07o}", self.dev.1).as_bytes());
        block
    }

    /// The item with `edit` made on its header, the checksum put right.
    pub(crate) fn bytes_with(&self, edit: impl FnOnce(&mut [u8; 512])) -> Vec<u8> {
        let mut out = Vec::new();
        if !self.pax.is_empty() {
            out = other(b'x', "pax", &self.pax).bytes();
        }
        let mut block = self.header();
        edit(&mut block);
        block[148..156].fill(b' ');
        let sum: u32 = block.iter().map(|&b| u32::from(b)).sum();
        block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        out.extend(block);
        out.extend(&self.data);
        out.resize(out.len().next_multiple_of(512), 0);
        out
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.bytes_with(|_| {})
    }
}

pub(crate) fn tar(items: &[Item]) -> Vec<u8> {
    let mut out: Vec<u8> = items.iter().flat_map(Item::bytes).collect();
    out.resize(out.len() + 1024, 0);
    out
}

pub(crate) fn applied(items: &[Item]) -> AppliedLayer {
    super::read_layer(tar(items).as_slice(), &mut std::io::sink()).unwrap().applied
}
