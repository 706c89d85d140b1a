//! `skiff-accelerator`: the service beside the registry. Errors become a sentence and an exit code
//! here, and only here; the codes are listed in `--help`.

mod cli;

use cli::{Command, Common, HELP};
use skiff_accelerator::causes::chain;
use skiff_accelerator::library::{Images, OpenError};
use skiff_accelerator::meter::Meter;
use skiff_accelerator::registry::platform::Platform;
use skiff_accelerator::serve::Service;
use skiff_accelerator::serve::refusal::Refusal;
use skiff_protocol::response::FailureCode;
use std::io::Write as _;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Instant;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

struct Failed {
    code: u8,
    sentence: String,
}

impl From<OpenError> for Failed {
    fn from(error: OpenError) -> Self {
        let code = if matches!(error, OpenError::Registry(_)) { 2 } else { 3 };
        Self { code, sentence: chain(&error) }
    }
}

impl From<Refusal> for Failed {
    fn from(refusal: Refusal) -> Self {
        let code = match refusal.code {
            FailureCode::NotFound | FailureCode::NoPlatform => 4,
            FailureCode::RegistryUnavailable | FailureCode::RegistryDenied => 5,
            FailureCode::BadImage => 6,
            _ => 1,
        };
        Self { code, sentence: refusal.message }
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let level = std::env::var("SKIFF_LOG").ok().and_then(|text| text.parse().ok());
    tracing_subscriber::fmt()
        .with_max_level(level.unwrap_or(tracing::Level::INFO))
        .with_writer(std::io::stderr)
        .init();
    let done = match cli::parse(std::env::args_os().skip(1)) {
        Ok(Command::Help) => say(HELP),
        Ok(Command::Version) => say(concat!("skiff-accelerator ", env!("CARGO_PKG_VERSION"), "\n")),
        Ok(Command::Serve { common, listen, level }) => serve(common, listen, level).await,
        Ok(Command::Ingest { common, platform, images }) => ingest(common, &platform, images).await,
        Err(error) => Err(Failed { code: 2, sentence: error.to_string() }),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failed { code, sentence }) => {
            eprintln!("skiff-accelerator: {sentence}");
            ExitCode::from(code)
        }
    }
}

/// Prints at once. A reader that has gone away ends us quietly.
fn say(text: &str) -> Result<(), Failed> {
    let mut out = std::io::stdout();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    Ok(())
}

async fn open(common: &Common) -> Result<Images, OpenError> {
    let Common { registry, data, database, cache_bytes } = common;
    Images::open(registry, data, *cache_bytes, database.as_ref()).await
}

async fn serve(common: Common, listen: SocketAddr, level: i32) -> Result<(), Failed> {
    let images = open(&common).await?;
    let failed = |error: &std::io::Error| Failed {
        code: 3,
        sentence: format!("the address {listen} can't be used: {error}; choose another --listen"),
    };
    let listener = TcpListener::bind(listen).await.map_err(|error| failed(&error))?;
    let address = listener.local_addr().map_err(|error| failed(&error))?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(|error| failed(&error))?;
    let mut terminate = signal(SignalKind::terminate()).map_err(|error| failed(&error))?;
    say(&format!("listening on {address}\n"))?;
    let stop = async move {
        tokio::select! { _ = interrupt.recv() => {}, _ = terminate.recv() => {} }
    };
    let served = Service::new(images, level).run(listener, stop).await;
    served.map_err(|error| Failed { code: 1, sentence: error.to_string() })
}

async fn ingest(common: Common, platform: &str, images: Vec<String>) -> Result<(), Failed> {
    let library = open(&common).await?;
    let platform: Platform = platform.parse().map_err(
        |error: skiff_accelerator::registry::platform::PlatformError| Failed {
            code: 2,
            sentence: error.to_string(),
        },
    )?;
    for reference in images {
        let started = Instant::now();
        let image = library.ingest(&reference, &platform, &Meter::default()).await?;
        let bytes = image.tree.content_bytes();
        say(&format!(
            "{reference} {} {} entries {bytes} bytes {:.1} s\n",
            image.manifest.digest,
            image.tree.nodes.len(),
            started.elapsed().as_secs_f64()
        ))?;
    }
    Ok(())
}
