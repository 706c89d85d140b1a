//! The control port: commands go in, their output comes back (`qemu/guest/etc/init.d/session`).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::time::{Duration, Instant};

/// What a command came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Its exit code.
    pub status: i32,
    /// What it wrote, on standard output and standard error.
    pub output: Vec<u8>,
}

impl Answer {
    /// Its output as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.output).trim_end().to_owned()
    }

    /// Its output, if it succeeded; `row` names the case.
    #[track_caller]
    pub fn ok(&self, row: &str) -> String {
        assert!(self.status == 0, "{row}: exit code {}: {}", self.status, self.text());
        self.text()
    }
}

/// Where the emulator will connect.
pub(super) struct Listener(UnixListener);

impl Listener {
    pub fn new(path: &Path) -> Self {
        let listener = UnixListener::bind(path)
            .unwrap_or_else(|e| panic!("can't listen on {}: {e}", path.display()));
        listener.set_nonblocking(true).unwrap();
        Self(listener)
    }

    /// The emulator's connection, if it is there yet.
    pub fn accept(&self) -> Option<Control> {
        let (stream, _) = self.0.accept().ok()?;
        stream.set_nonblocking(false).unwrap();
        stream.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        Some(Control {
            port: BufReader::new(stream),
            length: None,
            line: String::new(),
            got: Vec::new(),
        })
    }
}

/// A connection to a device.
#[derive(Debug)]
pub(super) struct Control {
    port: BufReader<UnixStream>,
    /// Status and length of the answer that is arriving.
    length: Option<(i32, usize)>,
    line: String,
    got: Vec<u8>,
}

impl Control {
    /// Gives a command to the device's shell.
    pub fn send(&mut self, script: &str) -> std::io::Result<()> {
        let line = STANDARD.encode(script) + "\n";
        self.port.get_mut().write_all(line.as_bytes())
    }

    /// The next answer, if it is whole before `limit` has passed.
    pub fn receive(&mut self, limit: Duration) -> std::io::Result<Option<Answer>> {
        let start = Instant::now();
        loop {
            match self.step() {
                Ok(Some(answer)) => return Ok(Some(answer)),
                Ok(None) => {}
                Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    if start.elapsed() >= limit {
                        return Ok(None);
                    }
                }
                Err(e) => return Err(e),
            }
        }
    }

    fn step(&mut self) -> std::io::Result<Option<Answer>> {
        let ended = || std::io::Error::from(ErrorKind::UnexpectedEof);
        let Some((status, length)) = self.length else {
            if self.port.read_line(&mut self.line)? == 0 {
                return Err(ended());
            }
            let numbers = self.line.trim().split_once(' ');
            let numbers = numbers.and_then(|(a, b)| Some((a.parse().ok()?, b.parse().ok()?)));
            let said = || panic!("the device's answer begins with {:?}", self.line);
            self.length = Some(numbers.unwrap_or_else(said));
            self.line.clear();
            return Ok(None);
        };
        let mut buffer = vec![0; (length - self.got.len()).min(1 << 16)];
        if !buffer.is_empty() {
            let read = self.port.read(&mut buffer)?;
            if read == 0 {
                return Err(ended());
            }
            self.got.extend(&buffer[..read]);
        }
        if self.got.len() < length {
            return Ok(None);
        }
        self.length = None;
        Ok(Some(Answer { status, output: std::mem::take(&mut self.got) }))
    }
}
