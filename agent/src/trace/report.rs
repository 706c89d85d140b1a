//! Tells the accelerator what was traced.

use super::TraceError;
use super::image::Image;
use super::sink::Spool;
use crate::http::Client;
use crate::platform;
use skiff_protocol::limits::{MAX_REFERENCE, MAX_WANTED};
use skiff_protocol::trace::{TraceHead, TraceRecord, TracedImage};
use skiff_protocol::{Error, TRACE_MEDIA_TYPE, TRACE_PATH, Version};

/// Room for the first record: as many images as a request may name.
const HEAD: usize = MAX_WANTED * (MAX_REFERENCE + 64) + 1024;

/// Posts a report.
pub async fn send(
    client: &mut Client,
    application: &str,
    class: &str,
    images: &[Image],
    spool: &mut Spool,
) -> Result<(), TraceError> {
    let mut body = head(application, class, images).map_err(TraceError::Report)?;
    spool.append_to(&mut body)?;
    let mut end = [0; 8];
    body.extend_from_slice(TraceRecord::End.encode(&mut end).map_err(TraceError::Report)?);
    let status = client.tell(TRACE_PATH, TRACE_MEDIA_TYPE, &body).await?;
    let url = client.url();
    match status {
        200..300 => Ok(()),
        404 => Err(TraceError::Unknown { url }),
        status => Err(TraceError::Refused { url, status }),
    }
}

fn head(application: &str, class: &str, images: &[Image]) -> Result<Vec<u8>, Error> {
    let mut traced = heapless::Vec::new();
    for Image { reference, manifest, .. } in images {
        let image = TracedImage { reference, manifest: *manifest };
        traced.push(image).map_err(|_| Error::BufferTooSmall)?;
    }
    let head = TraceHead {
        version: Version::CURRENT,
        agent: concat!("skiff/", env!("CARGO_PKG_VERSION")),
        platform: platform::of_this_device(),
        application,
        class,
        images: traced,
    };
    let mut buffer = vec![0; HEAD];
    let len = TraceRecord::Head(head).encode(&mut buffer)?.len();
    buffer.truncate(len);
    Ok(buffer)
}
