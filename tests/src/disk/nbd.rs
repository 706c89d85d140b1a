//! The server's side of the NBD protocol, as far as qemu needs it.
//!
//! Names in quotes are sections of the protocol's document (`doc/proto.md` of NetworkBlockDevice/nbd).
//! There is the fixed newstyle handshake, one export with the empty name, and simple replies. A
//! connection is one thread that answers in the order of the requests, which "Ordering of messages
//! and writes" permits. Whatever a client sends, it gets an error or loses its connection.

use super::Session;
use super::cache::{Change, SECTOR};
use std::io::{self, BufReader, ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;

// "Newstyle negotiation".
const MAGIC: u64 = 0x4e42_444d_4147_4943;
const OPTION_MAGIC: u64 = 0x4948_4156_454f_5054;
const OPTION_REPLY_MAGIC: u64 = 0x0003_e889_0455_65a9;

// "Handshake flags" and "Client flags": both sides number them alike.
const FIXED_NEWSTYLE: u16 = 1;
const NO_ZEROES: u16 = 1 << 1;

// "Option types".
const OPT_EXPORT_NAME: u32 = 1;
const OPT_ABORT: u32 = 2;
const OPT_LIST: u32 = 3;
const OPT_INFO: u32 = 6;
const OPT_GO: u32 = 7;

// "Option reply types".
const REP_ACK: u32 = 1;
const REP_SERVER: u32 = 2;
const REP_INFO: u32 = 3;
const REP_ERR_UNSUP: u32 = (1 << 31) + 1;
const REP_ERR_INVALID: u32 = (1 << 31) + 3;
const REP_ERR_UNKNOWN: u32 = (1 << 31) + 6;
const INFO_EXPORT: u16 = 0;
const INFO_BLOCK_SIZE: u16 = 3;

/// "Transmission flags": has flags, and takes flush, FUA, trim and write zeroes.
const TRANSMISSION: u16 = 1 | 1 << 2 | 1 << 3 | 1 << 5 | 1 << 6;

// "Request message" and "Simple reply message".
const REQUEST_MAGIC: u32 = 0x2560_9513;
const REPLY_MAGIC: u32 = 0x6744_6698;
const REPLY_HEADER: usize = 16;

// "Request types".
const CMD_READ: u16 = 0;
const CMD_WRITE: u16 = 1;
const CMD_DISC: u16 = 2;
const CMD_FLUSH: u16 = 3;
const CMD_TRIM: u16 = 4;
const CMD_WRITE_ZEROES: u16 = 6;

// "Command flags".
const FLAG_FUA: u16 = 1;
const FLAG_NO_HOLE: u16 = 1 << 1;

// "Error values".
const EIO: u32 = 5;
const EINVAL: u32 = 22;
const ENOSPC: u32 = 28;

/// "Size constraints": the payload that every server should take.
const MAX_PAYLOAD: u32 = 1 << 25;
/// More than any option that is known needs.
const MAX_OPTION: u32 = 1 << 18;

type Input<'a> = BufReader<&'a UnixStream>;

/// Serves one connection to its end.
pub(super) fn serve(stream: &UnixStream, session: &Session) -> io::Result<()> {
    let mut input = BufReader::new(stream);
    if negotiate(&mut input, stream, session.size)? {
        transmit(&mut input, stream, session)?;
    }
    Ok(())
}

/// "Newstyle negotiation" and "Fixed newstyle negotiation". Says whether transmission follows.
fn negotiate(input: &mut Input<'_>, mut output: &UnixStream, size: u64) -> io::Result<bool> {
    let mut hello = Vec::new();
    hello.extend(MAGIC.to_be_bytes());
    hello.extend(OPTION_MAGIC.to_be_bytes());
    hello.extend((FIXED_NEWSTYLE | NO_ZEROES).to_be_bytes());
    output.write_all(&hello)?;
    let flags = u32::from_be_bytes(take(input)?);
    if flags & !u32::from(FIXED_NEWSTYLE | NO_ZEROES) != 0 {
        // "Client flags": the server must drop the connection.
        return Err(ErrorKind::InvalidData.into());
    }
    let zeros = if flags & u32::from(NO_ZEROES) == 0 { 124 } else { 0 };
    loop {
        let magic = u64::from_be_bytes(take(input)?);
        let option = u32::from_be_bytes(take(input)?);
        let length = u32::from_be_bytes(take(input)?);
        if magic != OPTION_MAGIC || length > MAX_OPTION {
            return Err(ErrorKind::InvalidData.into());
        }
        let mut data = vec![0; length as usize];
        input.read_exact(&mut data)?;
        let mut reply = Vec::new();
        let mut goes_on = None;
        match option {
            // The only option whose reply has no header, and no way to say no but to hang up.
            OPT_EXPORT_NAME if data.is_empty() => {
                reply.extend(size.to_be_bytes());
                reply.extend(TRANSMISSION.to_be_bytes());
                reply.resize(reply.len() + zeros, 0);
                goes_on = Some(true);
            }
            OPT_EXPORT_NAME => return Err(ErrorKind::NotFound.into()),
            OPT_ABORT => {
                option_reply(&mut reply, option, REP_ACK, &[]);
                goes_on = Some(false);
            }
            OPT_LIST if data.is_empty() => {
                // One export, the length of whose name is 0.
                option_reply(&mut reply, option, REP_SERVER, &0_u32.to_be_bytes());
                option_reply(&mut reply, option, REP_ACK, &[]);
            }
            OPT_LIST => option_reply(&mut reply, option, REP_ERR_INVALID, &[]),
            OPT_INFO | OPT_GO => match export_name(&data) {
                None => option_reply(&mut reply, option, REP_ERR_INVALID, &[]),
                Some([]) => {
                    info(&mut reply, option, size);
                    goes_on = (option == OPT_GO).then_some(true);
                }
                Some(_) => option_reply(&mut reply, option, REP_ERR_UNKNOWN, &[]),
            },
            _ => option_reply(&mut reply, option, REP_ERR_UNSUP, &[]),
        }
        output.write_all(&reply)?;
        if let Some(transmission) = goes_on {
            return Ok(transmission);
        }
    }
}

/// The name in the data of INFO and GO: its length, itself, a count and so many requests
/// for information, which needn't be looked at: all there is to say is always said.
fn export_name(data: &[u8]) -> Option<&[u8]> {
    let (length, rest) = data.split_first_chunk()?;
    let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
    let (name, rest) = rest.split_at_checked(length)?;
    let (count, requests) = rest.split_first_chunk()?;
    (requests.len() == 2 * usize::from(u16::from_be_bytes(*count))).then_some(name)
}

fn info(reply: &mut Vec<u8>, option: u32, size: u64) {
    let mut export = INFO_EXPORT.to_be_bytes().to_vec();
    export.extend(size.to_be_bytes());
    export.extend(TRANSMISSION.to_be_bytes());
    option_reply(reply, option, REP_INFO, &export);
    // Smallest, preferred, and greatest payload.
    let mut sizes = INFO_BLOCK_SIZE.to_be_bytes().to_vec();
    for size in [512, 4096, MAX_PAYLOAD] {
        sizes.extend(size.to_be_bytes());
    }
    option_reply(reply, option, REP_INFO, &sizes);
    option_reply(reply, option, REP_ACK, &[]);
}

fn option_reply(reply: &mut Vec<u8>, option: u32, kind: u32, data: &[u8]) {
    reply.extend(OPTION_REPLY_MAGIC.to_be_bytes());
    reply.extend(option.to_be_bytes());
    reply.extend(kind.to_be_bytes());
    reply.extend(u32::try_from(data.len()).unwrap_or(u32::MAX).to_be_bytes());
    reply.extend(data);
}

/// "Request message".
struct Request {
    flags: u16,
    kind: u16,
    cookie: [u8; 8],
    offset: u64,
    length: u32,
}

impl Request {
    fn read(input: &mut Input<'_>) -> io::Result<Self> {
        if u32::from_be_bytes(take(input)?) != REQUEST_MAGIC {
            return Err(ErrorKind::InvalidData.into());
        }
        Ok(Self {
            flags: u16::from_be_bytes(take(input)?),
            kind: u16::from_be_bytes(take(input)?),
            cookie: take(input)?,
            offset: u64::from_be_bytes(take(input)?),
            length: u32::from_be_bytes(take(input)?),
        })
    }

    /// "Error values": is it whole sectors, within the disk, with flags that it can have?
    fn check(&self, size: u64) -> Result<(), u32> {
        // FUA may be set with every command; those that write nothing ignore it.
        let known = match self.kind {
            CMD_WRITE_ZEROES => FLAG_FUA | FLAG_NO_HOLE,
            _ => FLAG_FUA,
        };
        let end = self.offset.checked_add(u64::from(self.length));
        let inside = end.is_some_and(|end| end <= size);
        let aligned = (self.offset | u64::from(self.length)).is_multiple_of(SECTOR);
        match self.kind {
            _ if self.flags & !known != 0 => Err(EINVAL),
            CMD_FLUSH if self.offset != 0 || self.length != 0 => Err(EINVAL),
            CMD_WRITE | CMD_WRITE_ZEROES if !inside => Err(ENOSPC),
            CMD_READ if self.length > MAX_PAYLOAD => Err(EINVAL),
            _ if !inside || !aligned => Err(EINVAL),
            _ => Ok(()),
        }
    }

    /// Does it. What is read is put behind the header in `reply`.
    fn serve(&self, session: &Session, payload: &[u8], reply: &mut Vec<u8>) -> Result<(), u32> {
        self.check(session.size)?;
        let forced = self.flags & FLAG_FUA != 0;
        let length = u64::from(self.length);
        let done = match self.kind {
            CMD_READ => {
                reply.resize(REPLY_HEADER + self.length as usize, 0);
                session.with(|medium| medium.read(self.offset, &mut reply[REPLY_HEADER..]))
            }
            CMD_WRITE => {
                session.with(|medium| medium.write(self.offset, Change::Bytes(payload), forced))
            }
            CMD_FLUSH => session.with(super::Medium::flush),
            CMD_TRIM | CMD_WRITE_ZEROES => {
                let hole = self.flags & FLAG_NO_HOLE == 0;
                let change = Change::Zeros { length, hole };
                session.with(|medium| medium.write(self.offset, change, forced))
            }
            _ => return Err(EINVAL),
        };
        // The host's files failed; or there was a cut, and nobody will hear this.
        done.map_err(|_| EIO)
    }
}

/// "Transmission", until the client disconnects.
fn transmit(input: &mut Input<'_>, mut output: &UnixStream, session: &Session) -> io::Result<()> {
    let mut payload = Vec::new();
    let mut reply = Vec::new();
    loop {
        let request = Request::read(input)?;
        payload.clear();
        match request.kind {
            // Not a flush: what is in the cache stays there.
            CMD_DISC => return Ok(()),
            // "Size constraints": too much to take in, so the connection ends.
            CMD_WRITE if request.length > MAX_PAYLOAD => return Err(ErrorKind::InvalidData.into()),
            // Follows even if the request will be refused.
            CMD_WRITE => {
                payload.resize(request.length as usize, 0);
                input.read_exact(&mut payload)?;
            }
            _ => {}
        }
        reply.clear();
        reply.resize(REPLY_HEADER, 0);
        let error = request.serve(session, &payload, &mut reply).err().unwrap_or(0);
        if error != 0 {
            // "Request types", read: no payload after an error.
            reply.truncate(REPLY_HEADER);
        }
        reply[..4].copy_from_slice(&REPLY_MAGIC.to_be_bytes());
        reply[4..8].copy_from_slice(&error.to_be_bytes());
        reply[8..REPLY_HEADER].copy_from_slice(&request.cookie);
        output.write_all(&reply)?;
    }
}

fn take<const N: usize>(input: &mut Input<'_>) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    input.read_exact(&mut bytes)?;
    Ok(bytes)
}
