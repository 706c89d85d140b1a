//! Snapshots (`containerd.services.snapshots.v1`) of an overlayfs snapshotter.

use super::grpc::{Client, GrpcError};
use super::messages::{
    self, CommitSnapshotRequest, Empty, ListSnapshotsRequest, ListSnapshotsResponse,
    MountsResponse, PrepareSnapshotRequest, SnapshotKey, StatSnapshotResponse,
};
use std::path::PathBuf;

/// A snapshot's kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Finished, under its final name.
    Committed,
    /// A view or one that is being written.
    Other,
}

/// A snapshot.
#[derive(Debug, Clone)]
pub struct SnapshotInfo {
    /// Its name or key.
    pub name: String,
    /// What lies below it; empty for none.
    pub parent: String,
    /// Its kind.
    pub kind: Kind,
}

impl From<messages::SnapshotInfo> for SnapshotInfo {
    fn from(info: messages::SnapshotInfo) -> Self {
        let kind = if info.kind == 3 { Kind::Committed } else { Kind::Other };
        Self { name: info.name, parent: info.parent, kind }
    }
}

/// How the overlayfs snapshotter would mount a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mounted {
    /// Where writes go, if it is writable.
    pub upper: Option<PathBuf>,
    /// The layers below, top first.
    pub lower: Vec<PathBuf>,
}

impl Mounted {
    /// The snapshotter gives a bind mount for a snapshot of one directory, else an overlay mount
    /// (`snapshots/overlay/overlay.go`).
    fn parse(mounts: &[messages::Mount]) -> Option<Self> {
        let [mount] = mounts else { return None };
        let option = |name: &str| mount.options.iter().find_map(|option| option.strip_prefix(name));
        match mount.kind.as_str() {
            "bind" => {
                let source = PathBuf::from(&mount.source);
                let read_only = mount.options.iter().any(|option| option == "ro");
                let (upper, lower) =
                    if read_only { (None, vec![source]) } else { (Some(source), Vec::new()) };
                Some(Self { upper, lower })
            }
            "overlay" => {
                let lower = option("lowerdir=")?.split(':').map(PathBuf::from).collect();
                Some(Self { upper: option("upperdir=").map(PathBuf::from), lower })
            }
            _ => None,
        }
    }
}

impl Client {
    /// Makes a snapshot to write into.
    pub async fn prepare(
        &self,
        snapshotter: &str,
        key: &str,
        parent: &str,
    ) -> Result<Option<Mounted>, GrpcError> {
        self.make("/containerd.services.snapshots.v1.Snapshots/Prepare", snapshotter, key, parent)
            .await
    }

    /// Makes a read-only view of a snapshot.
    pub async fn view(
        &self,
        snapshotter: &str,
        key: &str,
        parent: &str,
    ) -> Result<Option<Mounted>, GrpcError> {
        self.make("/containerd.services.snapshots.v1.Snapshots/View", snapshotter, key, parent)
            .await
    }

    /// The mounts of a snapshot that is not committed.
    pub async fn mounts(&self, snapshotter: &str, key: &str) -> Result<Option<Mounted>, GrpcError> {
        // The request has the same fields.
        let ask = SnapshotKey { snapshotter: snapshotter.to_owned(), key: key.to_owned() };
        let call = "/containerd.services.snapshots.v1.Snapshots/Mounts";
        match self.unary::<_, MountsResponse>(call, &ask).await {
            Ok(answer) => Ok(Mounted::parse(&answer.mounts)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The snapshotter renames a directory to the new snapshot's number and then says so in its
    /// database. If the power goes between the two, the next snapshot gets the same number and finds the
    /// directory; that call fails, but removes it (`createSnapshot` of `snapshots/overlay/overlay.go`,
    /// from 1.6 to 2.3). So it is asked once more.
    async fn make(
        &self,
        call: &'static str,
        snapshotter: &str,
        key: &str,
        parent: &str,
    ) -> Result<Option<Mounted>, GrpcError> {
        let ask = PrepareSnapshotRequest {
            snapshotter: snapshotter.to_owned(),
            key: key.to_owned(),
            parent: parent.to_owned(),
        };
        let mut answer = self.unary::<_, MountsResponse>(call, &ask).await;
        if answer.as_ref().is_err_and(GrpcError::is_in_the_way) {
            answer = self.unary(call, &ask).await;
        }
        Ok(Mounted::parse(&answer?.mounts))
    }

    /// Gives a prepared snapshot its final name.
    pub async fn commit(&self, snapshotter: &str, key: &str, name: &str) -> Result<(), GrpcError> {
        let ask = CommitSnapshotRequest {
            snapshotter: snapshotter.to_owned(),
            name: name.to_owned(),
            key: key.to_owned(),
        };
        self.unary("/containerd.services.snapshots.v1.Snapshots/Commit", &ask)
            .await
            .map(|Empty {}| ())
    }

    /// Removes a snapshot, if it is there.
    pub async fn remove_snapshot(&self, snapshotter: &str, key: &str) -> Result<(), GrpcError> {
        let ask = SnapshotKey { snapshotter: snapshotter.to_owned(), key: key.to_owned() };
        match self.unary("/containerd.services.snapshots.v1.Snapshots/Remove", &ask).await {
            Ok(Empty {}) => Ok(()),
            Err(error) if error.is_not_found() => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Looks at a snapshot.
    pub async fn snapshot(
        &self,
        snapshotter: &str,
        key: &str,
    ) -> Result<Option<SnapshotInfo>, GrpcError> {
        let ask = SnapshotKey { snapshotter: snapshotter.to_owned(), key: key.to_owned() };
        match self.unary("/containerd.services.snapshots.v1.Snapshots/Stat", &ask).await {
            Ok(StatSnapshotResponse { info }) => Ok(info.map(SnapshotInfo::from)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The snapshots whose name begins like this and that are not committed.
    pub async fn unfinished(
        &self,
        snapshotter: &str,
        prefix: &str,
    ) -> Result<Vec<SnapshotInfo>, GrpcError> {
        let ask = ListSnapshotsRequest {
            snapshotter: snapshotter.to_owned(),
            filters: vec![format!("name~=\"^{prefix}\"")],
        };
        let mut found = Vec::new();
        let call = "/containerd.services.snapshots.v1.Snapshots/List";
        self.streaming(call, std::iter::once(ask), |answer: ListSnapshotsResponse| {
            let infos = answer.info.into_iter().map(SnapshotInfo::from);
            found.extend(
                infos.filter(|info| info.kind == Kind::Other && info.name.starts_with(prefix)),
            );
        })
        .await?;
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_of_the_overlayfs_snapshotter() {
        let mount = |kind: &str, source: &str, options: &[&str]| messages::Mount {
            kind: kind.to_owned(),
            source: source.to_owned(),
            options: options.iter().map(|&option| option.to_owned()).collect(),
        };
        let parse = |mount| Mounted::parse(&[mount]).map(|m| (m.upper, m.lower));
        let paths = |names: &[&str]| names.iter().map(PathBuf::from).collect::<Vec<_>>();
        assert_eq!(
            parse(mount("bind", "/s/1/fs", &["rw", "rbind"])),
            Some((Some("/s/1/fs".into()), vec![]))
        );
        assert_eq!(
            parse(mount("bind", "/s/1/fs", &["ro", "rbind"])),
            Some((None, paths(&["/s/1/fs"])))
        );
        let options = ["index=off", "workdir=/s/3/work", "upperdir=/s/3/fs", "lowerdir=/2:/1"];
        assert_eq!(
            parse(mount("overlay", "overlay", &options)),
            Some((Some("/s/3/fs".into()), paths(&["/2", "/1"])))
        );
        assert_eq!(parse(mount("btrfs", "/dev/x", &[])), None);
    }
}
