//! JSON: one reader and one writer for all that the agent reads and writes.
//!
//! `serde_json` is made again for each type that it reads from or writes to, and whatever decodes a type as well: through
//! one type each there is one piece of code. Fractions of numbers are written without the code that finds a float's shortest
//! digits, which nothing here needs.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::de::IoRead;
use serde_json::ser::Formatter;
use serde_json::{Deserializer, Result, Serializer};
use std::io::{self, BufReader, Read, Write};
use std::time::Duration;

/// A document as it is read.
pub type Document<'a> = Deserializer<IoRead<BufReader<&'a mut dyn Read>>>;

/// Reads a document piece by piece.
pub fn document(input: &mut dyn Read) -> Document<'_> {
    Deserializer::from_reader(BufReader::with_capacity(4096, input))
}

/// Reads a document that is one value.
pub fn read<T: DeserializeOwned>(input: &mut dyn Read) -> Result<T> {
    let mut document = document(input);
    let read = T::deserialize(&mut document)?;
    document.end()?;
    Ok(read)
}

/// A value's text, on one line. It fails for paths that are not UTF-8.
pub fn text(value: &impl Serialize) -> Result<String> {
    let mut text = Vec::new();
    value.serialize(&mut Serializer::with_formatter(&mut text, Compact))?;
    String::from_utf8(text).map_err(serde::ser::Error::custom)
}

/// A time as a number of seconds.
pub fn seconds<S: serde::Serializer>(
    time: &Duration,
    to: S,
) -> std::result::Result<S::Ok, S::Error> {
    to.serialize_f64(time.as_secs_f64())
}

/// Without spaces, with three digits behind the point.
struct Compact;

impl Formatter for Compact {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "they are times")]
    fn write_f64<W: Write + ?Sized>(&mut self, writer: &mut W, value: f64) -> io::Result<()> {
        let thousandths = (value * 1000.0 + 0.5) as u64;
        write!(writer, "{}.{:03}", thousandths / 1000, thousandths % 1000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt as _;
    use std::path::Path;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Row {
        name: String,
        bytes: [u8; 2],
        number: u64,
        none: Option<String>,
    }

    #[test]
    fn what_is_written_is_read() {
        let row =
            Row { name: "a\"\n\u{1}é".to_owned(), bytes: [0, 255], number: u64::MAX, none: None };
        let written = text(&row).unwrap();
        let expected = "{\"name\":\"a\\\"\\n\\u0001é\",\"bytes\":[0,255],\"number\":18446744073709551615,\"none\":null}";
        assert_eq!(written, expected);
        assert_eq!(read::<Row>(&mut written.as_bytes()).unwrap(), row);
        assert!(read::<Row>(&mut format!("{written}x").as_bytes()).is_err(), "something follows");
        assert!(read::<Row>(&mut &written.as_bytes()[..20]).is_err(), "it is cut off");
        assert!(text(&Path::new(OsStr::from_bytes(b"\xff"))).is_err(), "no UTF-8");
    }

    #[test]
    fn times_are_seconds() {
        #[derive(Serialize)]
        struct Taken(#[serde(serialize_with = "seconds")] Duration);
        for (milliseconds, expected) in
            [(0, "0.000"), (7, "0.007"), (1_500, "1.500"), (86_400_050, "86400.050")]
        {
            assert_eq!(text(&Taken(Duration::from_millis(milliseconds))).unwrap(), expected);
        }
    }
}
