//! The same on an emulated ARM device, whose seconds say nothing: ratios alone.

use crate::report::{Cell, Table};
use skiff_tests::device::{Device, Kernel, Model, Setup, guest_url};
use skiff_tests::gateway;
use skiff_tests::harness::{Accelerator, Registry, Sandbox};

/// Runs `$PULL` and prints its seconds of processor time (a shell's `times` are of the children that it has waited for), its
/// peak in KiB, and both of containerd for it.
const MEASURE: &str = r#"
cpu() { awk '{print ($14 + $15 + $16 + $17) / 100}' "/proc/$1/stat"; }
peak() { awk '/^VmHWM/ {print $2}' "/proc/$1/status" 2>/dev/null; }
for process in /proc/[0-9]*; do
    [ "$(cat $process/comm 2>/dev/null)" != containerd ] || containerd=${process#/proc/}
done
before=$(cpu $containerd)
rm -f /run/pull.times
sh -c "$PULL >/run/pull.out 2>&1 && times >/run/pull.times || : >/run/pull.times" &
shell=$! most=0 turns=0
while [ ! -e /run/pull.times ]; do
    turns=$((turns + 1))
    [ $turns -lt 900 ] || { ps; cat /run/pull.out /run/containerd.log; exit 1; }
    now=$(peak $(cat /proc/$shell/task/$shell/children))
    [ "${now:-0}" -le $most ] || most=$now
    sleep 0.2
done
wait
[ -s /run/pull.times ] || { cat /run/pull.out; exit 1; }
seconds=$(awk -F '[ms ]+' 'NR == 2 {print $1 * 60 + $2 + $3 * 60 + $4}' /run/pull.times)
echo $seconds $most $(cpu $containerd) $before $(peak $containerd)
"#;

/// What a pull took.
struct Pull {
    cpu: f64,
    peak: f64,
    containerd_cpu: f64,
    containerd_peak: f64,
}

pub(super) fn table() {
    let mut table = Table::new(
        "footprint",
        "Processors and memory of a pull on an emulated device",
        "Of a gateway's image. Ratios are to `ctr` and containerd together.",
        &[
            "agent's processor time, a ratio",
            "with containerd's for it",
            "agent's memory, MB",
            "a ratio",
        ],
    );
    table.row("64-bit ARM", &row());
    table.print();
}

fn row() -> [Cell; 4] {
    // The one that has containerd.
    let model = Model::Arm64;
    let sandbox = Sandbox::new();
    let registry = Registry::start(&sandbox);
    let layout = gateway::layout(&sandbox.directory("layouts"), model);
    let image = registry.push(&layout, "new");
    let registry_url = format!("http://{}", registry.host);
    let accelerator = Accelerator::start(&sandbox, &registry_url);
    let url = guest_url(&accelerator.url());
    let by_guest = guest_url(&registry_url).replace("http://", "");
    let stock =
        format!("ctr images pull --plain-http {}", image.replace(&registry.host, &by_guest));
    let skiff = format!("skiff pull --lazy=never --accelerator {url} {image}");
    // Each on a device that has nothing. They boot at once, and pull one after the other.
    let boot = || {
        let mut device = Device::boot(&sandbox, &Setup::new(model, Kernel::Old));
        device.wait_for_containerd();
        device
    };
    let mut devices = std::thread::scope(|scope| {
        let other = scope.spawn(boot);
        [boot(), other.join().unwrap()]
    });
    let [stock, skiff] = [(stock, 0), (skiff, 1)].map(|(pull, number)| {
        let device = &mut devices[number];
        let answer = device.run(&format!("PULL='{pull}'\n{MEASURE}"));
        assert!(answer.status == 0, "{pull}: {}", answer.text());
        let numbers: Vec<f64> =
            answer.text().split_whitespace().map(|number| number.parse().unwrap()).collect();
        let [cpu, peak, after, before, containerd_peak] = numbers[..] else {
            panic!("{pull}: {:?}", answer.text());
        };
        Pull { cpu, peak, containerd_cpu: after - before, containerd_peak }
    });
    let time = stock.cpu + stock.containerd_cpu;
    let memory = stock.peak + stock.containerd_peak;
    [
        Cell::ratio(skiff.cpu / time),
        Cell::ratio((skiff.cpu + skiff.containerd_cpu) / time),
        Cell::number(skiff.peak * 1024.0 / 1e6, "MB", 2),
        Cell::ratio(skiff.peak / memory),
    ]
}
