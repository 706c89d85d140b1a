//! The content store (`containerd.services.content.v1`).

use super::grpc::{Client, GrpcError};
use super::messages::{
    COMMIT, ContentInfo, Empty, FieldMask, ReadContentRequest, ReadContentResponse,
    UpdateContentRequest, WRITE, WriteContentRequest, WriteContentResponse,
};
use skiff_protocol::limits::MAX_BLOB;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;

const PIECE: usize = 32 * 1024;

impl Client {
    /// Reads a small blob (index, manifest or config); `None` if it is not there.
    pub async fn blob(&self, digest: &str) -> Result<Option<Vec<u8>>, GrpcError> {
        let ask = ReadContentRequest { digest: digest.to_owned() };
        let call = "/containerd.services.content.v1.Content/Read";
        let mut bytes = Vec::new();
        let read = self
            .streaming(call, std::iter::once(Ok(ask)), |piece: ReadContentResponse| {
                if (bytes.len() + piece.data.len()) as u64 > MAX_BLOB {
                    return Err(GrpcError::Status {
                        call,
                        code: super::Code::Other(0),
                        message: format!("{digest} is above 4 MiB"),
                    });
                }
                bytes.extend_from_slice(&piece.data);
                Ok(())
            })
            .await;
        match read {
            Ok(()) => Ok(Some(bytes)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
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
        match self.streaming(call, pieces, |_: WriteContentResponse| Ok(())).await {
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
    type Item = Result<WriteContentRequest, GrpcError>;

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
        Some(Ok(WriteContentRequest {
            action: if self.done { COMMIT } else { WRITE },
            // containerd locks a reference while it is written; another skiff may write the same blob.
            reference: format!("skiff-{}-{}", std::process::id(), self.digest),
            total: self.total,
            expected: if self.done || offset == 0 { self.digest.to_owned() } else { String::new() },
            offset,
            data: data.into(),
            labels: if self.done { std::mem::take(&mut self.labels) } else { BTreeMap::new() },
        }))
    }
}
