//! Opens a layer blob: gzip, zstd or plain tar.

use crate::seek::format::{Format, MAGIC};
use flate2::bufread::MultiGzDecoder;
use std::io::{self, BufRead, BufReader, Chain, Cursor, Read};

const BUFFER: usize = 128 << 10;

type Blob<R> = BufReader<Chain<Cursor<Vec<u8>>, R>>;

/// The uncompressed bytes of a blob.
pub(super) enum Decompress<R: Read> {
    Gzip(Box<MultiGzDecoder<Blob<R>>>),
    Zstd(Box<zstd::stream::read::Decoder<'static, Blob<R>>>),
    Plain(Blob<R>),
}

impl<R: Read> Decompress<R> {
    pub(super) fn open(mut blob: R) -> io::Result<Self> {
        let mut magic = Vec::with_capacity(MAGIC);
        blob.by_ref().take(MAGIC as u64).read_to_end(&mut magic)?;
        let format = Format::of(&magic);
        let blob = BufReader::with_capacity(BUFFER, Cursor::new(magic).chain(blob));
        Ok(match format {
            Format::Gzip => Self::Gzip(Box::new(MultiGzDecoder::new(blob))),
            Format::Zstd => Self::Zstd(Box::new(zstd::stream::read::Decoder::with_buffer(blob)?)),
            Format::Plain => Self::Plain(blob),
        })
    }
}

impl<R: Read> Read for Decompress<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Gzip(inner) => inner.read(out),
            Self::Zstd(inner) => inner.read(out),
            Self::Plain(inner) => {
                // `BufReader::read` hands large reads through; `fill_buf` first empties the magic.
                inner.fill_buf()?;
                inner.read(out)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn gzip(data: &[u8]) -> Vec<u8> {
        let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        out.write_all(data).unwrap();
        out.finish().unwrap()
    }

    fn read(blob: &[u8]) -> io::Result<Vec<u8>> {
        let mut out = Vec::new();
        Decompress::open(blob)?.read_to_end(&mut out)?;
        Ok(out)
    }

    #[test]
    fn formats() {
        let zstd = |data: &[u8]| zstd::encode_all(data, 1).unwrap();
        let skip = [0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3];
        let cases: [(&str, Vec<u8>, &[u8]); 8] = [
            ("plain", b"abcdef".to_vec(), b"abcdef"),
            ("empty", Vec::new(), b""),
            ("short", b"ab".to_vec(), b"ab"),
            ("gzip", gzip(b"abcdef"), b"abcdef"),
            ("gzip members", [gzip(b"abc"), gzip(b""), gzip(b"def")].concat(), b"abcdef"),
            ("zstd", zstd(b"abcdef"), b"abcdef"),
            ("zstd frames", [zstd(b"abc"), zstd(b"def")].concat(), b"abcdef"),
            ("zstd skippable", [&skip[..], &zstd(b"abc"), &skip].concat(), b"abc"),
        ];
        for (name, blob, expected) in cases {
            assert_eq!(read(&blob).unwrap(), expected, "{name}");
        }
    }

    #[test]
    fn cut_short() {
        for blob in [gzip(&[7; 1000]), zstd::encode_all(&[7; 1000][..], 1).unwrap()] {
            for len in [5, blob.len() / 2, blob.len() - 1] {
                assert!(read(&blob[..len]).is_err(), "{len} of {}", blob.len());
            }
        }
    }
}
