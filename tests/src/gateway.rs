//! The image pair of an ARM gateway, from the tars that `tests/images/gateway/build.sh` makes: small
//! enough for an emulated device, real enough to run. Its program prints one line and ends well.

use crate::device::Model;
use crate::harness::images;
use crate::layout::{Image, Layer, Layout};
use std::path::Path;

/// What the old image's program prints of the versions it runs with.
pub const OLD_VERSIONS: &str = "pydantic-core 2.23.4, paho-mqtt 2.0.0";
/// What the new image's program prints of the versions it runs with.
pub const NEW_VERSIONS: &str = "pydantic-core 2.27.2, paho-mqtt 2.1.0";
/// How the old program's line ends.
pub const OLD_END: &str = "3 readings, mean 21.5";
/// How the new program's line ends.
pub const NEW_END: &str = "3 readings, mean 21.5, highest 23.0";

/// The repository of the layout.
pub const REPOSITORY: &str = "gateway";

const COMMAND: [&str; 2] = ["/usr/bin/python3.11", "/srv/gateway/report.py"];
/// Running the program must leave the image's tree as it is.
const ENVIRONMENT: [&str; 2] = ["PATH=/usr/bin:/bin", "PYTHONDONTWRITEBYTECODE=1"];

/// Its layers for a device: `base`, which both images have, `old` and `new`.
pub fn layers(device: Model) -> impl Fn(&str) -> Layer {
    let tars = images().join(format!("gateway-{}", device.debian()));
    move |name| {
        let tar = tars.join(format!("{name}.tar"));
        assert!(tar.exists(), "{} is missing; run `make images`", tar.display());
        Layer::from_tar(&tar)
    }
}

/// Makes the layout `directory/gateway`, with the tags `old` and `new`, for a device.
pub fn layout(directory: &Path, device: Model) -> Layout {
    let layer = layers(device);
    let base = layer("base");
    let layout = Layout::create(directory, REPOSITORY);
    let (architecture, variant) = device.platform();
    for tag in ["old", "new"] {
        let image = Image::new(vec![base.clone(), layer(tag)])
            .platform(architecture, variant)
            .command(&COMMAND)
            .environment(&ENVIRONMENT);
        layout.add(tag, &image);
    }
    layout
}

/// The line that the program of a tag prints on a device.
pub fn expected(device: Model, tag: &str) -> String {
    let (versions, end) = match tag {
        "old" => (OLD_VERSIONS, OLD_END),
        "new" => (NEW_VERSIONS, NEW_END),
        other => panic!("the gateway has no tag {other}"),
    };
    format!("gateway report: {versions}, {}, {end}", device.machine())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    /// The update is a real one, and one that an emulated device has done soon.
    #[test]
    fn the_gateways_share_a_base_and_differ_in_a_small_layer() {
        let sandbox = crate::harness::Sandbox::new();
        for device in [Model::Arm64, Model::Armv7] {
            let layout = layout(&sandbox.directory(device.debian()), device);
            let [old, new] = ["old", "new"].map(|tag| -> Value {
                serde_json::from_slice(&layout.blob(&layout.digest_of(tag))).unwrap()
            });
            assert_eq!(old["layers"][0], new["layers"][0], "{device:?}");
            assert_ne!(old["layers"][1], new["layers"][1], "{device:?}");
            let size = new["layers"][1]["size"].as_u64().unwrap();
            assert!((1 << 20..3 << 20).contains(&size), "{device:?}: {size} bytes");

            let config = layout.blob(new["config"]["digest"].as_str().unwrap());
            let config: Value = serde_json::from_slice(&config).unwrap();
            let (architecture, variant) = device.platform();
            assert_eq!(config["architecture"], architecture);
            assert_eq!(config["variant"].as_str(), variant);
            assert_eq!(config["config"]["Cmd"][1], COMMAND[1]);
            assert_eq!(config["config"]["Env"][1], ENVIRONMENT[1]);
        }
    }
}
