//! A trace report's bytes, taken apart and checked.

use super::{Item, MOST, MOST_BYTES};
use crate::reference::Reference;
use crate::registry::platform::Platform;
use skiff_protocol::limits::{MAX_REFERENCE, MAX_TRACED};
use skiff_protocol::request::is_class;
use skiff_protocol::trace::{TraceEntries, TraceHead, TraceRecord};
use skiff_protocol::{Digest, Error, Version};
use std::collections::HashSet;

/// What a device reports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// What the images ran on.
    pub platform: Platform,
    /// The application; empty if there is none.
    pub application: String,
    /// The device's class; empty if it has none.
    pub class: String,
    /// Repository and manifest of each image.
    pub images: Vec<(String, Digest)>,
    /// What was used, each once, in the order of first use.
    pub items: Vec<Item>,
}

/// What is wrong with a report.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// Its bytes are not one.
    #[error("the report does not decode")]
    Protocol(#[source] Error),
    /// It is of another version.
    #[error("the report is of version {}.{} of the protocol, which is not understood here", .0.major, .0.minor)]
    Version(Version),
    /// Its records are not in order.
    #[error("the report has its records in another order than a head, entries and an end")]
    Order,
    /// It is of no image, or of one that can't be named so.
    #[error("the report names no image, or one by something that is no reference")]
    Image,
    /// It is too long.
    #[error("the report has more than {MAX_TRACED} entries")]
    Long,
    /// An entry is of no image of the report.
    #[error("an entry of the report names an image that the report has not")]
    Entry,
    /// The class or the platform is none.
    #[error("the report's class or platform is not one")]
    Device,
}

/// Takes a report apart.
///
/// # Errors
/// It is none.
pub fn read(bytes: &[u8]) -> Result<Report, ReportError> {
    let mut rest = bytes;
    let head = TraceRecord::take(&mut rest).map_err(ReportError::Protocol)?;
    let TraceRecord::Head(head) = head else { return Err(ReportError::Order) };
    let mut report = read_head(&head)?;
    let (mut paths, mut seen, mut bytes) = (TraceEntries::new(), HashSet::new(), 0);
    for number in 0.. {
        let entry = match TraceRecord::take(&mut rest).map_err(ReportError::Protocol)? {
            TraceRecord::Entry(entry) => entry,
            TraceRecord::End if rest.is_empty() => break,
            _ => return Err(ReportError::Order),
        };
        if number >= MAX_TRACED {
            return Err(ReportError::Long);
        }
        if usize::from(entry.image) >= report.images.len() {
            return Err(ReportError::Entry);
        }
        let item = Item::file(entry.image, paths.path(&entry).map_err(ReportError::Protocol)?);
        bytes += if seen.contains(&item) { 0 } else { item.path.len() };
        // What is used after so much else is not needed soon.
        if seen.len() < MOST && bytes <= MOST_BYTES && seen.insert(item.clone()) {
            report.items.push(item);
        }
    }
    Ok(report)
}

fn read_head(head: &TraceHead<'_>) -> Result<Report, ReportError> {
    if head.version.major != Version::CURRENT.major {
        return Err(ReportError::Version(head.version));
    }
    let platform = &head.platform;
    let words = [platform.os, platform.architecture, platform.variant];
    // Words of a platform have the letters that a class has.
    if !words.iter().chain([&head.class]).all(|word| is_class(word)) {
        return Err(ReportError::Device);
    }
    let mut images = Vec::new();
    for image in &head.images {
        let reference = Reference::parse(image.reference).map_err(|_| ReportError::Image)?;
        if image.reference.len() > MAX_REFERENCE {
            return Err(ReportError::Image);
        }
        images.push((reference.repository, image.manifest));
    }
    if images.is_empty() {
        return Err(ReportError::Image);
    }
    Ok(Report {
        platform: Platform::new(platform.os, platform.architecture, platform.variant),
        application: head.application.to_owned(),
        class: head.class.to_owned(),
        images,
        items: Vec::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use skiff_protocol::request;
    use skiff_protocol::trace::{TraceEntry, TracedImage};

    fn head() -> TraceHead<'static> {
        TraceHead {
            version: Version::CURRENT,
            agent: "test",
            platform: request::Platform { os: "linux", architecture: "arm", variant: "v7" },
            application: "shop",
            class: "pi",
            images: ["h:5000/shop/web:1", "db"]
                .into_iter()
                .map(|reference| TracedImage { reference, manifest: Digest([1; 32]) })
                .collect(),
        }
    }

    fn written(records: &[TraceRecord<'_>]) -> Vec<u8> {
        let mut buffer = vec![0; 4096];
        let mut bytes = Vec::new();
        for record in records {
            bytes.extend_from_slice(record.encode(&mut buffer).unwrap());
        }
        bytes
    }

    fn entry(image: u16, suffix: &[u8]) -> TraceRecord<'_> {
        TraceRecord::Entry(TraceEntry { image, millis: 0, prefix: 0, suffix })
    }

    #[test]
    fn a_report_is_read() {
        let records = [
            TraceRecord::Head(head()),
            entry(1, b"bin/b"),
            entry(0, b"bin/a"),
            entry(1, b"bin/b"),
            TraceRecord::End,
        ];
        let report = read(&written(&records)).unwrap();
        assert_eq!(report.items, [Item::file(1, "bin/b"), Item::file(0, "bin/a")]);
        let repositories: Vec<_> = report.images.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(repositories, ["shop/web", "db"]);
        assert_eq!((&*report.application, &*report.class), ("shop", "pi"));
    }

    #[test]
    fn what_is_no_report_is_refused() {
        let with = |change: fn(&mut TraceHead<'static>)| {
            let mut head = head();
            change(&mut head);
            written(&[TraceRecord::Head(head), TraceRecord::End])
        };
        let of = |records: &[TraceRecord<'_>]| written(records);
        let start = TraceRecord::Head(head());
        let mut trailing = of(&[start.clone(), TraceRecord::End]);
        trailing.push(0);
        let mut many = vec![start.clone()];
        many.resize(MAX_TRACED + 2, entry(0, b"a"));
        many.push(TraceRecord::End);
        for (bytes, word) in [
            (Vec::new(), "does not decode"),
            (of(std::slice::from_ref(&start)), "does not decode"),
            (of(&[TraceRecord::End]), "order"),
            (of(&[start.clone(), start.clone(), TraceRecord::End]), "order"),
            (trailing, "order"),
            (of(&[start.clone(), entry(2, b"a"), TraceRecord::End]), "names an image"),
            (of(&[start, entry(0, b"../a"), TraceRecord::End]), "does not decode"),
            (of(&many), "more than"),
            (with(|head| head.version.major = 2), "of version 2."),
            (with(|head| head.class = "a b"), "class"),
            (with(|head| head.platform.os = "a/b"), "platform"),
            (with(|head| head.images.clear()), "no image"),
            (with(|head| head.images[0].reference = "A"), "no reference"),
        ] {
            let error = read(&bytes).unwrap_err().to_string();
            assert!(error.contains(word), "{word}: {error}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_report_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let _ = read(&bytes);
            let start = written(&[TraceRecord::Head(head())]);
            let _ = read(&[start, bytes].concat());
        }
    }
}
