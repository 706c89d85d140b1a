//! Containers and what runs in them (`containerd.services.containers.v1`, `…tasks.v1`).

use super::grpc::{Client, GrpcError};
use super::messages::{ContainerId, GetContainerResponse, GetTaskResponse};

impl Client {
    /// Name of the image that a container was made of; nothing if there is no such container.
    pub async fn container_image(&self, id: &str) -> Result<Option<String>, GrpcError> {
        let ask = ContainerId { id: id.to_owned() };
        match self.unary("/containerd.services.containers.v1.Containers/Get", &ask).await {
            Ok(GetContainerResponse { container }) => Ok(container.map(|it| it.image)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Process ID of a container's first process, as this device counts; nothing while it has none.
    pub async fn container_process(&self, id: &str) -> Result<Option<u32>, GrpcError> {
        let ask = ContainerId { id: id.to_owned() };
        match self.unary("/containerd.services.tasks.v1.Tasks/Get", &ask).await {
            Ok(GetTaskResponse { process }) => Ok(process.map(|it| it.pid).filter(|&pid| pid != 0)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }
}
