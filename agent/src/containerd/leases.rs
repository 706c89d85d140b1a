//! Leases (`containerd.services.leases.v1`): what is made under one is not collected.

use super::grpc::{Client, GrpcError};
use super::messages::{
    AddResourceRequest, DeleteRequest, Empty, Filters, Lease, ListLeasesResponse, Resource,
};
use std::collections::BTreeMap;

impl Client {
    /// Creates a lease that holds until somebody deletes it. (`containerd.io/gc.expire` is a time of
    /// day: on a gateway that starts in 1970 the lease would end when the clock is set.)
    pub async fn create_lease(&self, id: &str) -> Result<(), GrpcError> {
        let ask = Lease { id: id.to_owned(), labels: BTreeMap::new() };
        self.unary("/containerd.services.leases.v1.Leases/Create", &ask).await.map(|Empty {}| ())
    }

    /// Deletes a lease; with `sync` waits until containerd has collected what only it kept.
    pub async fn delete_lease(&self, id: &str, sync: bool) -> Result<(), GrpcError> {
        let ask = DeleteRequest { name: id.to_owned(), sync };
        match self.unary("/containerd.services.leases.v1.Leases/Delete", &ask).await {
            Ok(Empty {}) => Ok(()),
            Err(error) if error.is_not_found() => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Lets a lease keep a snapshot that is there already. (A commit that finds its name taken
    /// leases nothing: its transaction is rolled back.)
    pub async fn lease_snapshot(
        &self,
        lease: &str,
        snapshotter: &str,
        name: &str,
    ) -> Result<(), GrpcError> {
        self.lease_resource(lease, name, format!("snapshots/{snapshotter}")).await
    }

    /// Lets a lease keep a blob, and what its labels refer to.
    pub async fn lease_content(&self, lease: &str, digest: &str) -> Result<(), GrpcError> {
        self.lease_resource(lease, digest, "content".to_owned()).await
    }

    async fn lease_resource(&self, lease: &str, id: &str, kind: String) -> Result<(), GrpcError> {
        let resource = Some(Resource { id: id.to_owned(), kind });
        let ask = AddResourceRequest { lease: lease.to_owned(), resource };
        let call = "/containerd.services.leases.v1.Leases/AddResource";
        self.unary(call, &ask).await.map(|Empty {}| ())
    }

    /// The leases whose ID begins like this.
    pub async fn leases(&self, prefix: &str) -> Result<Vec<String>, GrpcError> {
        let ask = Filters { filters: vec![format!("id~=^{prefix}")] };
        let answer: ListLeasesResponse =
            self.unary("/containerd.services.leases.v1.Leases/List", &ask).await?;
        let ids = answer.leases.into_iter().map(|lease| lease.id);
        Ok(ids.filter(|id| id.starts_with(prefix)).collect())
    }
}
