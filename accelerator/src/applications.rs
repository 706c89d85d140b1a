//! Applications: images that are deployed together, by a name. Said on the command line, or by a
//! compose file, of which the services' `image` keys count and nothing else.

use crate::reference::{Reference, ReferenceError};
use serde::Deserialize;
use skiff_protocol::limits::{MAX_REFERENCE, MAX_WANTED};
use std::collections::BTreeMap;

/// Characters of the longest name.
const MAX_NAME: usize = 64;

/// What an application can't be.
#[derive(Debug, thiserror::Error)]
pub enum ApplicationError {
    /// Its name is none.
    #[error("{0:?} can't name an application: use 1 to 64 letters, digits, `.`, `_` and `-`")]
    Name(String),
    /// It has none or too many images.
    #[error("the application has {0} images, and 1 to 32 can be deployed together")]
    Count(usize),
    /// It has an image twice.
    #[error("the image {0} is named twice")]
    Twice(String),
    /// An image's reference is wrong.
    #[error("the image {image:?} can't be asked for")]
    Reference {
        /// The reference.
        image: String,
        /// Why.
        source: ReferenceError,
    },
    /// An image's reference is longer than devices take.
    #[error("the image {0:?} has a reference of more than 512 bytes")]
    Long(String),
    /// The compose file is none.
    #[error("the compose file can't be understood")]
    Compose(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A service is built, not pulled.
    #[error(
        "the service {0:?} of the compose file has no `image`; push what it builds, and name it"
    )]
    NoImage(String),
    /// A service's image depends on the environment.
    #[error(
        "the image of the service {0:?} has a variable in it; give the file with variables filled \
         in, as `docker compose config` prints it"
    )]
    Variable(String),
}

/// Whether an application may have this name: it becomes a file's name on devices.
///
/// # Errors
/// It may not.
pub fn check_name(name: &str) -> Result<(), ApplicationError> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    let fits = (1..=MAX_NAME).contains(&name.len()) && name.bytes().all(allowed);
    if fits && !name.starts_with('.') && !name.starts_with('-') {
        Ok(())
    } else {
        Err(ApplicationError::Name(name.to_owned()))
    }
}

/// Whether an application may have these images.
///
/// # Errors
/// It may not.
pub fn check_images(images: &[String]) -> Result<(), ApplicationError> {
    if !(1..=MAX_WANTED).contains(&images.len()) {
        return Err(ApplicationError::Count(images.len()));
    }
    for (index, image) in images.iter().enumerate() {
        Reference::parse(image)
            .map_err(|source| ApplicationError::Reference { image: image.clone(), source })?;
        if image.len() > MAX_REFERENCE {
            return Err(ApplicationError::Long(image.clone()));
        }
        if images[..index].contains(image) {
            return Err(ApplicationError::Twice(image.clone()));
        }
    }
    Ok(())
}

#[derive(Deserialize)]
struct Compose {
    services: BTreeMap<String, Service>,
}

#[derive(Deserialize)]
struct Service {
    image: Option<String>,
}

/// The images of a compose file's services, each once, in the order of the services' names.
///
/// # Errors
/// It is none, or a service has no image that can be known from the file.
pub fn of_compose(text: &str) -> Result<Vec<String>, ApplicationError> {
    let compose: Compose = serde_saphyr::from_str(text)
        .map_err(|error| ApplicationError::Compose(error.to_string().into()))?;
    let mut images = Vec::new();
    for (name, service) in compose.services {
        let image = service.image.ok_or_else(|| ApplicationError::NoImage(name.clone()))?;
        if image.contains('$') {
            return Err(ApplicationError::Variable(name));
        }
        if !images.contains(&image) {
            images.push(image);
        }
    }
    Ok(images)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_can_be_files() {
        for good in ["shop", "a", "shop-2.1_b", &"x".repeat(64)] {
            assert!(check_name(good).is_ok(), "{good}");
        }
        for bad in ["", ".", "..", ".x", "-x", "a/b", "a b", "ä", &"x".repeat(65)] {
            assert!(check_name(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn images_of_an_application() {
        let images = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let check = |names: Vec<String>| check_images(&names).map_err(|error| error.to_string());
        assert_eq!(check(images(&["a:1", "b:1"])), Ok(()));
        let many: Vec<String> = (0..33).map(|n| format!("a:{n}")).collect();
        for (bad, word) in [
            (images(&[]), "0 images"),
            (many, "33 images"),
            (images(&["a:1", "b", "a:1"]), "a:1 is named twice"),
            (images(&["a:1", "A B"]), "\"A B\""),
        ] {
            let error = check(bad).unwrap_err();
            assert!(error.contains(word), "{error}");
        }
    }

    #[test]
    fn a_compose_file_names_images() {
        let text = "
x-common: &common
  restart: always
  environment: [A=1]
services:
  web:
    <<: *common
    image: shop/web:1
    ports: ['80:80']
  db: { image: \"shop/db:1\" }
  db-copy: { image: shop/db:1 }
volumes: { data: {} }
";
        assert_eq!(of_compose(text).unwrap(), ["shop/db:1", "shop/web:1"]);
        for (bad, word) in [
            ("services: {a: {build: .}}", "no `image`"),
            ("services: {a: {image: 'x:${TAG}'}}", "variable"),
            ("service: {}", "can't be understood"),
            (":\n - [", "can't be understood"),
        ] {
            let error = of_compose(bad).unwrap_err().to_string();
            assert!(error.contains(word), "{bad}: {error}");
        }
    }
}
