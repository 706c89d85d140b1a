//! Calls to containerd that only a target needs: to let a lease keep a snapshot that is there
//! already, and to look at a blob's labels. Field numbers as in `api/services/leases/v1` and
//! `api/services/content/v1` of containerd 1.6.

use crate::containerd::{Client, GrpcError};
use prost::Message;
use std::collections::BTreeMap;

/// Labels that name a manifest of an index, with a number behind.
const MANIFEST_LABEL: &str = "containerd.io/gc.ref.content.m.";

#[derive(Clone, PartialEq, Message)]
struct Empty {}

#[derive(Clone, PartialEq, Message)]
struct Resource {
    #[prost(string, tag = "1")]
    id: String,
    /// `snapshots/` and the snapshotter's name.
    #[prost(string, tag = "2")]
    kind: String,
}

#[derive(Clone, PartialEq, Message)]
struct AddResourceRequest {
    #[prost(string, tag = "1")]
    lease: String,
    #[prost(message, optional, tag = "2")]
    resource: Option<Resource>,
}

#[derive(Clone, PartialEq, Message)]
struct InfoRequest {
    #[prost(string, tag = "1")]
    digest: String,
}

#[derive(Clone, PartialEq, Message)]
struct Info {
    #[prost(btree_map = "string, string", tag = "5")]
    labels: BTreeMap<String, String>,
}

#[derive(Clone, PartialEq, Message)]
struct InfoResponse {
    #[prost(message, optional, tag = "1")]
    info: Option<Info>,
}

/// Lets a lease keep a snapshot. (A commit that finds its name taken leases nothing: its
/// transaction is rolled back.)
pub(super) async fn lease_snapshot(
    client: &Client,
    lease: &str,
    snapshotter: &str,
    name: &str,
) -> Result<(), GrpcError> {
    let resource = Resource { id: name.to_owned(), kind: format!("snapshots/{snapshotter}") };
    let ask = AddResourceRequest { lease: lease.to_owned(), resource: Some(resource) };
    let call = "/containerd.services.leases.v1.Leases/AddResource";
    client.unary(call, &ask).await.map(|Empty {}| ())
}

/// The label by which an index refers to this manifest: one that does so already, or the first
/// free one. (A stock pull takes `m.0` whatever it says; another platform's manifest, pulled by
/// somebody else, would lose its reference.)
pub(super) async fn manifest_label(
    client: &Client,
    index: &str,
    manifest: &str,
) -> Result<String, GrpcError> {
    let ask = InfoRequest { digest: index.to_owned() };
    let call = "/containerd.services.content.v1.Content/Info";
    let labels = match client.unary::<_, InfoResponse>(call, &ask).await {
        Ok(answer) => answer.info.unwrap_or_default().labels,
        Err(error) if error.is_not_found() => BTreeMap::new(),
        Err(error) => return Err(error),
    };
    Ok(choose(&labels, manifest))
}

fn choose(labels: &BTreeMap<String, String>, manifest: &str) -> String {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn manifest_labels_do_not_displace_others() {
        let label = |n: u32| format!("{MANIFEST_LABEL}{n}");
        let mut labels = BTreeMap::new();
        assert_eq!(choose(&labels, "sha256:a"), label(0));
        labels.insert(label(0), "sha256:b".to_owned());
        labels.insert("containerd.io/gc.ref.content.config".to_owned(), "sha256:a".to_owned());
        assert_eq!(choose(&labels, "sha256:a"), label(1));
        labels.insert(label(2), "sha256:a".to_owned());
        assert_eq!(choose(&labels, "sha256:a"), label(2));
    }
}
