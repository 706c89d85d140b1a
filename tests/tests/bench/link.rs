//! The link that is measured over: 200 ms and 20 Mbit/s, or what `SKIFF_RTT` (ms), `SKIFF_RATE` (Mbit/s), `SKIFF_LOSS` (per
//! cent) and `SKIFF_CC` (`cubic` or `bbr`) say.

use serde_json::{Value, json};
use skiff_linkem::Model;
use skiff_tests::harness::Wan;
use std::time::Duration;

fn number(variable: &str, default: f64) -> f64 {
    let given = std::env::var(variable).ok();
    given.map_or(default, |text| {
        text.parse().unwrap_or_else(|_| panic!("{variable} is {text:?}, not a number"))
    })
}

/// There and back.
pub fn round_trip() -> Duration {
    Duration::from_secs_f64(number("SKIFF_RTT", 200.0) / 1000.0)
}

/// Bits per second, in each direction.
pub fn rate() -> u64 {
    // Exact: it is checked on the way back.
    let rate = number("SKIFF_RATE", 20.0) * 1e6;
    format!("{rate:.0}").parse().unwrap()
}

fn congestion_control() -> String {
    std::env::var("SKIFF_CC").unwrap_or_else(|_| "cubic".to_owned())
}

/// The link, with a cloud and a device at its ends.
pub fn wan() -> Wan {
    let mut model = Model::symmetric(round_trip(), rate());
    model.loss = number("SKIFF_LOSS", 0.0) / 100.0;
    let mut back = model;
    back.seed += 1;
    Wan::over([model, back], &congestion_control())
}

/// For people.
pub fn name() -> String {
    let loss = number("SKIFF_LOSS", 0.0);
    let mut name = format!("{} ms and {} Mbit/s", round_trip().as_millis(), rate() / 1_000_000);
    if loss > 0.0 {
        name += &format!(", {loss} % lost");
    }
    let control = congestion_control();
    if loss > 0.0 || control != "cubic" {
        name += &format!(", {control}");
    }
    name
}

/// For programs.
pub fn words() -> Value {
    json!({
        "round_trip_ms": round_trip().as_secs_f64() * 1000.0,
        "rate_bit_s": rate(),
        "loss_percent": number("SKIFF_LOSS", 0.0),
        "congestion_control": congestion_control(),
    })
}
