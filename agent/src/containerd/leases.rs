//! Leases (`containerd.services.leases.v1`): what is made under one is not collected.

use super::grpc::{Client, GrpcError};
use super::messages::{
    AddResourceRequest, DeleteRequest, Empty, Filters, Lease, ListLeasesResponse, Resource,
};
use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

impl Client {
    /// Creates a lease that containerd drops after this time, should nobody delete it.
    pub async fn create_lease(&self, id: &str, lifetime: Duration) -> Result<(), GrpcError> {
        let expiry = rfc3339(SystemTime::now() + lifetime);
        let labels = BTreeMap::from([("containerd.io/gc.expire".to_owned(), expiry)]);
        let ask = Lease { id: id.to_owned(), labels };
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
        let kind = format!("snapshots/{snapshotter}");
        let resource = Some(Resource { id: name.to_owned(), kind });
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

/// A time in RFC 3339, UTC, whole seconds. The date comes from the number of days by counting
/// 400-year cycles from the first of March of the year 0.
fn rfc3339(time: SystemTime) -> String {
    let seconds = time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let (days, second) = (seconds / 86_400 + 719_468, seconds % 86_400);
    let (cycle, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day_of_year = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day_of_year + 2) / 153;
    let (day, month, year) = (
        day_of_year - (153 * month + 2) / 5 + 1,
        if month < 10 { month + 3 } else { month - 9 },
        cycle * 400 + year + u64::from(month >= 10),
    );
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_as_containerd_reads_them() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_795_500_000, "2026-11-24T06:00:00Z"),
            (4_102_444_800, "2100-01-01T00:00:00Z"),
        ] {
            assert_eq!(rfc3339(UNIX_EPOCH + Duration::from_secs(seconds)), text);
        }
    }
}
