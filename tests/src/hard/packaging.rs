//! How layers are compressed, and what leads to them.

use super::{Repository, noise};
use crate::layout::{Compression, Image, Layer, Types};
use crate::tarball::Entry;

fn layer(name: &str, seed: u64) -> Layer {
    Layer::new(&[
        Entry::directory("z/"),
        Entry::file(format!("z/{name}"), noise(seed, 3_000)),
        Entry::file(format!("z/{name}.txt"), "line\n".repeat(500)),
        Entry::file("z/last", name),
    ])
}

fn image(compressions: &[Compression], seed: u64) -> Image {
    let one = |(index, compression): (usize, &Compression)| {
        let name = format!("layer{index}");
        layer(&name, seed + index as u64).compression(*compression)
    };
    Image::new(compressions.iter().enumerate().map(one).collect())
}

/// Each compression beside each other; the layers of v3 are those of v1, compressed otherwise.
pub(super) fn compressions() -> Repository {
    use Compression::{Gzip, Members, Plain, Zstd};
    let versions = vec![
        vec![image(&[Gzip, Members(1_000), Zstd, Plain], 1)],
        vec![image(&[Zstd, Plain, Members(512), Gzip, Gzip], 2)],
        vec![image(&[Plain, Zstd, Gzip, Members(100)], 1)],
        vec![image(&[Members(1 << 20), Gzip, Gzip], 1)],
    ];
    Repository::from_images("compressions", versions)
}

/// Docker's schema 2, with an empty layer as `docker build` makes them.
pub(super) fn docker() -> Repository {
    let docker = |seed| {
        let mut image = image(&[Compression::Gzip, Compression::Members(700)], seed);
        image.layers.push(Layer::new(&[]));
        image.types(Types::Docker)
    };
    // The same layers as an OCI image: only names of types differ.
    let mut oci = docker(2);
    oci.types = Types::Oci;
    let versions = vec![vec![docker(1)], vec![docker(2)], vec![oci]];
    Repository::from_images("docker", versions)
}

fn platforms(types: Types, seed: u64) -> Vec<Image> {
    let one = |architecture: &str, variant, seed| {
        image(&[Compression::Gzip], seed).types(types).platform(architecture, variant)
    };
    vec![
        one("s390x", None, seed + 100),
        one("arm", Some("v6"), seed + 200),
        one("arm", Some("v7"), seed + 300),
        one("arm64", Some("v8"), seed + 400),
        one("amd64", None, seed + 500),
    ]
}

/// An index of several platforms.
pub(super) fn index() -> Repository {
    let versions = vec![platforms(Types::Oci, 1), platforms(Types::Oci, 2)];
    Repository::from_images("nested/index", versions)
}

/// Docker's manifest list, and a version without one.
pub(super) fn docker_list() -> Repository {
    let versions = vec![
        platforms(Types::Docker, 1),
        platforms(Types::Docker, 2),
        vec![image(&[Compression::Gzip], 502).types(Types::Docker)],
    ];
    Repository::from_images("docker-list", versions)
}
