//! The content store (`containerd.services.content.v1`).

use super::grpc::{Client, GrpcError};
use super::messages::{
    COMMIT, ContentDigest, ContentInfo, ContentInfoResponse, Empty, FieldMask, ReadContentRequest,
    ReadContentResponse, UpdateContentRequest, WRITE, WriteContentRequest, WriteContentResponse,
};
use bytes::{Buf, Bytes, BytesMut};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};

const PIECE: usize = 32 * 1024;
/// Labels by which an index refers to a manifest, with a number behind.
const MANIFEST_LABEL: &str = "containerd.io/gc.ref.content.m.";

impl Client {
    /// A reader of a blob, for parsers that read as they go. Nothing is asked before the first read.
    pub fn blob(&self, digest: String) -> BlobReader<'_> {
        BlobReader { client: self, digest, offset: 0, piece: Bytes::new() }
    }

    /// The label by which an index refers to this manifest: one that does so already, or the first
    /// free one. (A stock pull takes `m.0` whatever it says; another platform's manifest, pulled by
    /// somebody else, would lose its reference.)
    pub async fn manifest_label(&self, index: &str, manifest: &str) -> Result<String, GrpcError> {
        let ask = ContentDigest { digest: index.to_owned() };
        let call = "/containerd.services.content.v1.Content/Info";
        let labels = match self.unary::<_, ContentInfoResponse>(call, &ask).await {
            Ok(answer) => answer.info.unwrap_or_default().labels,
            Err(error) if error.is_not_found() => BTreeMap::new(),
            Err(error) => return Err(error),
        };
        Ok(choose_label(&labels, manifest))
    }

    /// Writes a blob from a file, with labels; adds the labels if the blob is there already.
    /// containerd checks size and digest.
    pub async fn put_blob(
        &self,
        digest: &str,
        size: u64,
        file: File,
        labels: BTreeMap<String, String>,
    ) -> Result<(), GrpcError> {
        let total = i64::try_from(size).unwrap_or(i64::MAX);
        let pieces = Pieces { file, digest, total, offset: 0, labels: labels.clone(), done: false };
        let call = "/containerd.services.content.v1.Content/Write";
        match self.streaming(call, pieces, |_: WriteContentResponse| ()).await {
            Err(error) if error.already_exists() => self.label_blob(digest, labels).await,
            other => other,
        }
    }

    async fn label_blob(
        &self,
        digest: &str,
        labels: BTreeMap<String, String>,
    ) -> Result<(), GrpcError> {
        let paths = labels.keys().map(|key| format!("labels.{key}")).collect();
        let ask = UpdateContentRequest {
            info: Some(ContentInfo { digest: digest.to_owned(), labels }),
            update_mask: Some(FieldMask { paths }),
        };
        self.unary("/containerd.services.content.v1.Content/Update", &ask).await.map(|Empty {}| ())
    }
}

/// Reads a blob in pieces of 32 KiB, so that its length costs no memory. Each read waits for its
/// piece, within the agent's one task.
#[derive(Debug)]
pub struct BlobReader<'a> {
    client: &'a Client,
    digest: String,
    offset: i64,
    piece: Bytes,
}

impl BlobReader<'_> {
    /// The next piece; empty at the blob's end.
    async fn ask(&self) -> Result<Bytes, GrpcError> {
        let size = i64::try_from(PIECE).unwrap_or(i64::MAX);
        let ask = ReadContentRequest { digest: self.digest.clone(), offset: self.offset, size };
        let call = "/containerd.services.content.v1.Content/Read";
        let mut piece = BytesMut::with_capacity(PIECE);
        let keep = |answer: ReadContentResponse| piece.extend_from_slice(&answer.data);
        self.client.streaming(call, std::iter::once(ask), keep).await?;
        Ok(piece.freeze())
    }
}

impl Read for BlobReader<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.piece.is_empty() {
            self.piece = smol::block_on(self.ask()).map_err(io::Error::other)?;
            self.offset += i64::try_from(self.piece.len()).unwrap_or(i64::MAX);
        }
        let len = self.piece.len().min(into.len());
        self.piece.copy_to_slice(&mut into[..len]);
        Ok(len)
    }
}

fn choose_label(labels: &BTreeMap<String, String>, manifest: &str) -> String {
    let mut same = labels
        .iter()
        .filter(|(key, value)| key.starts_with(MANIFEST_LABEL) && value.as_str() == manifest);
    if let Some((key, _)) = same.next() {
        return key.clone();
    }
    let mut number = 0;
    loop {
        let label = format!("{MANIFEST_LABEL}{number}");
        if !labels.contains_key(&label) {
            return label;
        }
        number += 1;
    }
}

/// The messages that write a file.
struct Pieces<'a> {
    file: File,
    digest: &'a str,
    total: i64,
    offset: i64,
    labels: BTreeMap<String, String>,
    done: bool,
}

impl Iterator for Pieces<'_> {
    type Item = WriteContentRequest;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let mut data = vec![0; PIECE];
        // After an error there are too few bytes: containerd refuses the commit, since size and
        // digest are wrong.
        let read = self.file.read(&mut data).unwrap_or_default();
        data.truncate(read);
        let offset = self.offset;
        self.offset += i64::try_from(read).unwrap_or(0);
        self.done = read == 0;
        Some(WriteContentRequest {
            action: if self.done { COMMIT } else { WRITE },
            // containerd locks a reference while it is written; another skiff may write the same blob.
            reference: format!("skiff-{}-{}", std::process::id(), self.digest),
            total: self.total,
            expected: if self.done || offset == 0 { self.digest.to_owned() } else { String::new() },
            offset,
            data: data.into(),
            labels: if self.done { std::mem::take(&mut self.labels) } else { BTreeMap::new() },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn manifest_labels_do_not_displace_others() {
        let label = |n: u32| format!("{MANIFEST_LABEL}{n}");
        let mut labels = BTreeMap::new();
        assert_eq!(choose_label(&labels, "sha256:a"), label(0));
        labels.insert(label(0), "sha256:b".to_owned());
        labels.insert("containerd.io/gc.ref.content.config".to_owned(), "sha256:a".to_owned());
        assert_eq!(choose_label(&labels, "sha256:a"), label(1));
        labels.insert(label(2), "sha256:a".to_owned());
        assert_eq!(choose_label(&labels, "sha256:a"), label(2));
    }
}
