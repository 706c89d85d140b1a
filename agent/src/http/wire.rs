//! What `async-h1` reads from: bounds the head of an answer.

use super::chunks::Chunks;
use super::socket::Stream;
use smol::io::{AsyncRead, AsyncWrite};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

/// Longest head (status line and headers) of an answer, bytes.
pub const MAX_HEAD: usize = 16 * 1024;

/// A connection, the head of whose next answer is bounded.
#[derive(Debug)]
pub struct Wire {
    stream: Stream,
    head: Head,
}

impl Wire {
    /// Wraps a connection on which a request comes next.
    pub fn new(stream: Stream) -> Self {
        Self { stream, head: Head::default() }
    }
}

/// Looks for the empty line that ends a head.
#[derive(Debug, Default)]
struct Head {
    seen: usize,
    matched: usize,
    over: bool,
    /// Its text, until it is over.
    text: Vec<u8>,
    /// What follows, if it is chunked.
    chunks: Option<Chunks>,
}

impl Head {
    /// Proxies say in HTTP/1.0 what is wrong; `async-h1` takes HTTP/1.1 only.
    fn raise_version(&self, bytes: &mut [u8]) {
        const AT: usize = "HTTP/1.".len();
        let at = AT.checked_sub(self.seen).filter(|_| !self.over);
        let digit = at.and_then(|at| bytes.get_mut(at));
        if let Some(digit) = digit.filter(|digit| **digit == b'0') {
            *digit = b'1';
        }
    }

    fn pass(&mut self, bytes: &[u8]) -> io::Result<()> {
        const END: &[u8; 4] = b"\r\n\r\n";
        for (at, &byte) in bytes.iter().enumerate() {
            if self.over {
                let body = &bytes[at..];
                return self.chunks.as_mut().map_or(Ok(()), |chunks| chunks.pass(body));
            }
            self.text.push(byte.to_ascii_lowercase());
            if !byte.is_ascii() {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    "the head of the answer has bytes that are not ASCII",
                ));
            }
            self.seen += 1;
            self.matched = match byte {
                _ if byte == END[self.matched] => self.matched + 1,
                b'\r' => 1,
                _ => 0,
            };
            self.over = self.matched == END.len();
            if self.over {
                const CHUNKED: &[u8] = b"\ntransfer-encoding";
                let text = std::mem::take(&mut self.text);
                let chunked = text.windows(CHUNKED.len()).any(|bytes| bytes == CHUNKED);
                self.chunks = chunked.then(Chunks::default);
            }
        }
        if self.seen > MAX_HEAD && !self.over {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "the head of the answer is longer than 16 KiB",
            ));
        }
        Ok(())
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let read = ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        self.head.raise_version(&mut buf[..read]);
        self.head.pass(&buf[..read])?;
        Poll::Ready(Ok(read))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_close(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_ends_at_its_empty_line_however_it_is_cut() {
        let text = b"HTTP/1.1 200 OK\r\nA: b\r\r\n\r\n";
        for cut in 1..text.len() {
            let mut head = Head::default();
            for part in text.chunks(cut) {
                head.pass(part).unwrap();
            }
            assert!(head.over, "cut {cut}");
            head.pass(&[b'x'; 2 * MAX_HEAD]).unwrap();
        }
    }

    #[test]
    fn an_answer_in_http_1_0_is_read_however_it_is_cut() {
        let text = *b"HTTP/1.0 407 X\r\nA: HTTP/1.0\r\n\r\nHTTP/1.0";
        let raised = *b"HTTP/1.1 407 X\r\nA: HTTP/1.0\r\n\r\nHTTP/1.0";
        for cut in 1..=text.len() {
            let (mut head, mut text) = (Head::default(), text);
            for part in text.chunks_mut(cut) {
                head.raise_version(part);
                head.pass(part).unwrap();
            }
            assert_eq!(text, raised, "cut {cut}");
        }
    }

    #[test]
    fn a_head_of_other_than_ascii_is_refused() {
        assert!(Head::default().pass("HTTP/1.1 200 OK\r\nx: é".as_bytes()).is_err());
    }

    #[test]
    fn a_long_head_is_refused() {
        let mut head = Head::default();
        head.pass(&[b'x'; MAX_HEAD]).unwrap();
        assert!(head.pass(b"x").is_err());
    }
}
