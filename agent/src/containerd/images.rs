//! Image records (`containerd.services.images.v1`).

use super::grpc::{Client, GrpcError};
use super::messages::{
    DeleteRequest, Descriptor, Empty, FieldMask, Filters, GetImageResponse, Image, ImageName,
    ListImagesResponse, PutImageRequest,
};

/// What an image record points to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageTarget {
    /// The image's name.
    pub name: String,
    /// Media type of an index or a manifest.
    pub media_type: String,
    /// Its digest, in text form.
    pub digest: String,
    /// Its size in bytes.
    pub size: u64,
}

impl ImageTarget {
    fn from_message(image: Image) -> Option<Self> {
        let target = image.target?;
        Some(Self {
            name: image.name,
            media_type: target.media_type,
            digest: target.digest,
            size: u64::try_from(target.size).unwrap_or(0),
        })
    }
}

impl Client {
    /// Every image record.
    pub async fn images(&self) -> Result<Vec<ImageTarget>, GrpcError> {
        let answer: ListImagesResponse =
            self.unary("/containerd.services.images.v1.Images/List", &Filters::default()).await?;
        Ok(answer.images.into_iter().filter_map(ImageTarget::from_message).collect())
    }

    /// One image record.
    pub async fn image(&self, name: &str) -> Result<Option<ImageTarget>, GrpcError> {
        let ask = ImageName { name: name.to_owned() };
        match self.unary("/containerd.services.images.v1.Images/Get", &ask).await {
            Ok(GetImageResponse { image }) => Ok(image.and_then(ImageTarget::from_message)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Creates an image record, or points an existing one elsewhere.
    pub async fn put_image(&self, target: &ImageTarget) -> Result<(), GrpcError> {
        let descriptor = Descriptor {
            media_type: target.media_type.clone(),
            digest: target.digest.clone(),
            size: i64::try_from(target.size).unwrap_or(i64::MAX),
        };
        let image = Some(Image { name: target.name.clone(), target: Some(descriptor) });
        let ask = PutImageRequest { image: image.clone(), update_mask: None };
        let created: Result<Empty, _> =
            self.unary("/containerd.services.images.v1.Images/Create", &ask).await;
        match created {
            Err(error) if error.already_exists() => {
                let mask = FieldMask { paths: vec!["target".to_owned()] };
                let ask = PutImageRequest { image, update_mask: Some(mask) };
                self.unary("/containerd.services.images.v1.Images/Update", &ask)
                    .await
                    .map(|Empty {}| ())
            }
            other => other.map(|Empty {}| ()),
        }
    }

    /// Deletes an image record, and waits until containerd has collected what nothing refers to
    /// any more. Whether there was one.
    pub async fn delete_image(&self, name: &str) -> Result<bool, GrpcError> {
        let ask = DeleteRequest { name: name.to_owned(), sync: true };
        match self.unary("/containerd.services.images.v1.Images/Delete", &ask).await {
            Ok(Empty {}) => Ok(true),
            Err(error) if error.is_not_found() => Ok(false),
            Err(error) => Err(error),
        }
    }
}
