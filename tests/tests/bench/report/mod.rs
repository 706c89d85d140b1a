//! What a benchmark found: tables in Markdown for people, and each number as a line of JSON in
//! `target/bench/results.jsonl`.
//!
//! A line with `machine`, `kernel`, `date` and `link` comes before those of a run; each of the others names its
//! `experiment`, `table`, `row` and `column`, has numbers under the names of their units, and in `shown` how the table has them.
//! Lines with `plot` are what plots show, and one with `seconds` is how long an experiment took.

pub mod plot;

use serde_json::{Map, Value, json};
use skiff_tests::harness::run;
use std::fs::{File, OpenOptions, create_dir_all, read_to_string};
use std::io::Write;
use std::path::PathBuf;
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

/// What stands in a column of a row.
#[derive(Debug, Clone)]
pub struct Cell {
    words: String,
    numbers: Map<String, Value>,
}

impl Cell {
    fn new(words: String, unit: &str, number: Value) -> Self {
        Self { words, numbers: Map::from_iter([(unit.to_owned(), number)]) }
    }

    /// Nothing to say.
    pub fn none() -> Self {
        Self { words: String::new(), numbers: Map::new() }
    }

    /// Shown as megabytes.
    pub fn bytes(bytes: u64) -> Self {
        Self::new(mb(bytes), "bytes", json!(bytes))
    }

    /// How many.
    pub fn count(count: usize) -> Self {
        Self::new(count.to_string(), "count", json!(count))
    }

    /// Of a time or a speed to another one.
    pub fn ratio(ratio: f64) -> Self {
        Self::new(format!("{ratio:.2}"), "ratio", json!(ratio))
    }

    /// Some other unit, with so many decimals.
    pub fn number(number: f64, unit: &str, decimals: usize) -> Self {
        Self::new(format!("{number:.decimals$}"), unit, json!(number))
    }

    /// The times of all runs, shown as their median in seconds and half of their spread.
    pub fn times(times: &[Duration]) -> Self {
        let seconds: Vec<f64> = times.iter().map(Duration::as_secs_f64).collect();
        Self::new(spread(&seconds), "s", json!(seconds))
    }

    /// One time, in seconds.
    pub fn time(time: Duration) -> Self {
        Self::new(format!("{:.2}", time.as_secs_f64()), "s", json!(time.as_secs_f64()))
    }

    /// Others of the same column, in brackets behind it.
    #[must_use]
    pub fn with(mut self, others: impl IntoIterator<Item = Self>) -> Self {
        let mut words = Vec::new();
        for other in others {
            words.push(other.words);
            self.numbers.extend(other.numbers);
        }
        self.words = format!("{} ({})", self.words, words.join("; "));
        self
    }
}

/// Their median, and half of what lies between the least and the largest.
fn spread(numbers: &[f64]) -> String {
    let mut sorted = numbers.to_vec();
    sorted.sort_by(f64::total_cmp);
    let half = (sorted[sorted.len() - 1] - sorted[0]) / 2.0;
    match sorted.len() {
        1 => format!("{:.1}", sorted[0]),
        length => format!("{:.1} ±{half:.1}", sorted[length / 2]),
    }
}

/// A table.
#[derive(Debug)]
pub struct Table {
    experiment: &'static str,
    title: String,
    note: &'static str,
    columns: Vec<String>,
    rows: Vec<String>,
}

impl Table {
    /// An empty one.
    pub fn new(
        experiment: &'static str,
        title: impl Into<String>,
        note: &'static str,
        columns: &[&str],
    ) -> Self {
        let columns = columns.iter().map(|&column| column.to_owned()).collect();
        Self { experiment, title: title.into(), note, columns, rows: Vec::new() }
    }

    /// Adds a row, and says its numbers in JSON.
    pub fn row(&mut self, name: &str, cells: &[Cell]) {
        assert_eq!(cells.len(), self.columns.len(), "{name} of {}", self.title);
        let said = self.columns.iter().zip(cells).filter(|(_, cell)| !cell.numbers.is_empty());
        for (column, cell) in said {
            let mut line = json!({
                "experiment": self.experiment, "table": self.title, "row": name, "column": column,
                "shown": cell.words,
            });
            line.as_object_mut().unwrap().extend(cell.numbers.clone());
            say(&line);
        }
        let words: Vec<&str> = cells.iter().map(|cell| cell.words.as_str()).collect();
        self.rows.push(format!("| {name} | {} |", words.join(" | ")));
    }

    /// Prints it.
    pub fn print(self) {
        println!("\n### {}\n", self.title);
        if !self.note.is_empty() {
            println!("{}\n", self.note);
        }
        println!("| | {} |\n|---|{}", self.columns.join(" | "), "---:|".repeat(self.columns.len()));
        for row in self.rows {
            println!("{row}");
        }
    }
}

/// Where results and plots go.
fn directory() -> PathBuf {
    let directory = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../target/bench");
    create_dir_all(&directory).unwrap();
    directory
}

/// Adds a line to the results.
pub fn say(line: &Value) {
    static FILE: OnceLock<Mutex<File>> = OnceLock::new();
    let file = FILE.get_or_init(|| {
        let path = directory().join("results.jsonl");
        let mut file = OpenOptions::new().create(true).append(true).open(path).unwrap();
        writeln!(file, "{}", context()).unwrap();
        Mutex::new(file)
    });
    writeln!(file.lock().unwrap(), "{line}").unwrap();
}

/// Where, when and over what link it was measured.
fn context() -> Value {
    let processors = read_to_string("/proc/cpuinfo").unwrap();
    let named = |line: &&str| line.starts_with("model name");
    let model = processors.lines().find(named).and_then(|line| line.split_once(": "));
    let cores = std::thread::available_parallelism().unwrap();
    json!({
        "machine": format!("{cores} cores, {}", model.map_or("unknown", |(_, name)| name)),
        "kernel": run("uname", &["-r"]).trim(),
        "date": run("date", &["-u", "+%FT%TZ"]).trim(),
        "link": super::link::words(),
    })
}

/// Bytes as megabytes.
fn mb(bytes: u64) -> String {
    format!("{}.{:02}", bytes / 1_000_000, bytes % 1_000_000 / 10_000)
}
