//! The graph of states and deltas, after an application of real images was deployed and updated on one device
//! and one of its images pulled alone on another. In Graphviz' language: `docs/graph.svg` is
//! `make --silent bench PARTS=graph` through `sed -n '/^digraph/,/^}/p' | dot -Tsvg`.

use skiff_tests::harness::{Accelerator, Sandbox, Skiff, images, run};

pub(super) fn print() {
    let sandbox = Sandbox::new();
    let data = sandbox.directory("accelerator");
    let registry = format!("oci:{}", images().display());
    let accelerator = Accelerator::start_with(&data, &registry, &[]);
    let data = data.join("data").display().to_string();
    let program = Accelerator::program();
    let url = accelerator.url();
    let device = Skiff::root(&sandbox, &sandbox.directory("root"));
    let other = Skiff::root(&sandbox, &sandbox.directory("root"));
    for tag in ["old", "new"] {
        let references = ["nginx", "mariadb", "node-red"].map(|name| format!("{name}:{tag}"));
        let [a, b, c] = references.each_ref().map(String::as_str);
        run(&program, &["app", "--data", &data, "set", "shop", a, b, c]);
        device.run(&["deploy", "shop", "--accelerator", &url]).ok("deploy");
        other.pull(&[a], &url).ok("pull");
    }
    print!("\n{}", run(&program, &["graph", "--data", &data]));
}
