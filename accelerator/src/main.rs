//! `skiff-accelerator`: the service beside the registry. Errors become a sentence and an exit code
//! here, and only here; the codes are listed in `--help`.

mod cli;

use cli::{App, Command, Common, HELP, Metadata};
use skiff_accelerator::applications::{self, ApplicationError};
use skiff_accelerator::causes::chain;
use skiff_accelerator::library::{Images, OpenError};
use skiff_accelerator::meter::Meter;
use skiff_accelerator::registry::platform::Platform;
use skiff_accelerator::serve::Service;
use skiff_accelerator::serve::refusal::Refusal;
use skiff_accelerator::store::{Store, StoreError};
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

impl From<StoreError> for Failed {
    fn from(error: StoreError) -> Self {
        Self { code: 3, sentence: chain(&error) }
    }
}

impl From<ApplicationError> for Failed {
    fn from(error: ApplicationError) -> Self {
        Self { code: 2, sentence: chain(&error) }
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
        Ok(Command::App { metadata, action }) => app(&metadata, action).await,
        Ok(Command::Graph { metadata, json }) => graph(&metadata, json).await,
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
    let Common { registry, metadata: Metadata { data, database }, cache_bytes } = common;
    Images::open(registry, data, *cache_bytes, database.as_ref()).await
}

async fn open_store(metadata: &Metadata) -> Result<Store, Failed> {
    let Metadata { data, database } = metadata;
    std::fs::create_dir_all(data).map_err(|error| Failed {
        code: 3,
        sentence: format!("the data directory {} can't be used: {error}", data.display()),
    })?;
    Ok(Store::open(data, database.as_ref()).await?)
}

async fn app(metadata: &Metadata, action: App) -> Result<(), Failed> {
    let (name, images) = match action {
        App::Set { name, images } => (name, images),
        App::Compose { name, file } => {
            let text = std::fs::read_to_string(&file).map_err(|error| Failed {
                code: 2,
                sentence: format!("the compose file {} can't be read: {error}", file.display()),
            })?;
            (name, applications::of_compose(&text)?)
        }
        App::List => {
            for (name, images) in open_store(metadata).await?.applications().await? {
                say(&format!("{name} {}\n", images.join(" ")))?;
            }
            return Ok(());
        }
        App::Remove { name } => {
            if open_store(metadata).await?.remove_application(&name).await? {
                return Ok(());
            }
            return Err(Failed { code: 4, sentence: format!("there is no application {name:?}") });
        }
    };
    applications::check_name(&name)?;
    applications::check_images(&images)?;
    Ok(open_store(metadata).await?.put_application(&name, &images).await?)
}

async fn graph(metadata: &Metadata, json: bool) -> Result<(), Failed> {
    let graph = open_store(metadata).await?.graph().await?;
    say(&if json { graph.json() } else { graph.dot() })
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
