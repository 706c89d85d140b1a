//! `skiff-accelerator`: the service beside the registry. Errors become a sentence and an exit code
//! here, and only here; the codes are listed in `--help`.

mod hot_sets;

use skiff_accelerator::access::{Gate, Signers, Tls};
use skiff_accelerator::applications::{self, ApplicationError};
use skiff_accelerator::causes::chain;
use skiff_accelerator::cli::{self, Ahead, App, Command, Common, HELP, Hot, Metadata, Security};
use skiff_accelerator::hot::take;
use skiff_accelerator::library::{Images, OpenError};
use skiff_accelerator::meter::Meter;
use skiff_accelerator::packs::encoding::Levels;
use skiff_accelerator::registry::platform::{Platform, PlatformError};
use skiff_accelerator::serve::idle::Idle;
use skiff_accelerator::serve::refusal::Refusal;
use skiff_accelerator::serve::{Service, bind};
use skiff_accelerator::store::{Store, StoreError};
use skiff_accelerator::watch::platforms::Platforms;
use skiff_accelerator::watch::token::{self, Token};
use skiff_accelerator::watch::{Options, Watch};
use skiff_protocol::response::FailureCode;
use std::io::Write as _;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;
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
        Ok(Command::Serve { common, listen, levels, ahead, traces, security }) => {
            serve(common, listen, levels, ahead, traces, security).await
        }
        Ok(Command::Ingest { common, platform, images }) => ingest(common, &platform, images).await,
        Ok(Command::App { metadata, action }) => app(&metadata, action).await,
        Ok(Command::Hot { metadata, hot }) => sets(&metadata, hot).await,
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

async fn sets(metadata: &Metadata, hot: Hot) -> Result<(), Failed> {
    hot_sets::run(&open_store(metadata).await?, hot).await
}

async fn graph(metadata: &Metadata, json: bool) -> Result<(), Failed> {
    let graph = open_store(metadata).await?.graph().await?;
    say(&if json { graph.json() } else { graph.dot() })
}

/// What to read ahead, from the command line and the environment.
fn options(ahead: Ahead) -> Result<Options, Failed> {
    let platforms = ahead.platforms.iter().map(|text| platform(text));
    let platforms = platforms.collect::<Result<Vec<_>, _>>()?;
    let token = std::env::var_os(token::VARIABLE)
        // What is no Unicode is no ASCII either.
        .map(|text| Token::new(text.to_str().unwrap_or_default()));
    let token =
        token.transpose().map_err(|error| Failed { code: 2, sentence: error.to_string() })?;
    let platforms = Platforms::new(platforms, platform(&cli::native_platform())?);
    Ok(Options { platforms, poll: ahead.poll, token })
}

fn platform(text: &str) -> Result<Platform, Failed> {
    let platform = text.parse();
    platform.map_err(|error: PlatformError| Failed { code: 2, sentence: error.to_string() })
}

/// Who is let in, over what, and how devices know what comes from here.
fn guard(security: Security) -> Result<(Gate, Option<Tls>, Signers), Failed> {
    let failed = |error: &dyn std::error::Error| Failed { code: 2, sentence: chain(error) };
    let Security { tls, policy, sign_keys } = security;
    if policy.is_some() && tls.is_none() {
        tracing::warn!(
            "there is a policy and no TLS (--tls-cert): tokens and images can be read on the way, unless \
             something before this speaks TLS"
        );
    }
    let has_policy = policy.is_some();
    let gate = policy.map_or_else(|| Ok(Gate::default()), |path| Gate::new(&path));
    let gate = gate.map_err(|error| failed(&error))?;
    let tls = tls.map(|files| Tls::new(files, has_policy)).transpose();
    let signers = Signers::new(sign_keys).map_err(|error| failed(&error))?;
    Ok((gate, tls.map_err(|error| failed(&error))?, signers))
}

async fn serve(
    common: Common,
    listen: SocketAddr,
    levels: Levels,
    ahead: Ahead,
    traces: bool,
    security: Security,
) -> Result<(), Failed> {
    let options = options(ahead)?;
    if security.policy.is_some() && options.token.is_none() {
        tracing::warn!(
            "the policy is not for notifications: everybody can send them, unless {} is set",
            token::VARIABLE
        );
    }
    let (gate, tls, signers) = guard(security)?;
    let Common { registry, metadata: Metadata { data, database }, cache_bytes } = &common;
    let images = Images::open(registry, data, *cache_bytes, database.as_ref()).await?;
    let images = Arc::new(images);
    let failed = |error: &std::io::Error| Failed {
        code: 3,
        sentence: format!("the address {listen} can't be used: {error}; choose another --listen"),
    };
    let listener = bind(listen).map_err(|error| failed(&error))?;
    let address = listener.local_addr().map_err(|error| failed(&error))?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(|error| failed(&error))?;
    let mut terminate = signal(SignalKind::terminate()).map_err(|error| failed(&error))?;
    say(&format!("listening on {address}\n"))?;
    let stop = async move {
        tokio::select! { _ = interrupt.recv() => {}, _ = terminate.recv() => {} }
    };
    let mut service = Service::new(Arc::clone(&images), levels).behind(gate).signing(signers);
    if let Some(tls) = tls {
        service = service.over(tls);
    }
    let again = |level| Idle::start(images.made(), service.metrics(), service.idleness(), level);
    let _idle = levels.again().map(again);
    let watch = Watch::start(&images, service.metrics(), service.workshop(), options);
    let reports = take::routes(&images, service.metrics(), traces);
    service.with(watch.routes()).with_guarded(reports).run(listener, stop).await;
    Ok(())
}

async fn ingest(common: Common, for_platform: &str, images: Vec<String>) -> Result<(), Failed> {
    let Common { registry, metadata: Metadata { data, database }, cache_bytes } = &common;
    let library = Images::open_beside(registry, data, *cache_bytes, database.as_ref()).await?;
    let platform = platform(for_platform)?;
    for reference in images {
        let started = Instant::now();
        let image = library.ingest(&reference, &platform, &Meter::default()).await?;
        // From here on devices can get it.
        let read = started.elapsed().as_secs_f64();
        library.predict_ahead(&reference, &image).await?;
        let predicted = started.elapsed().as_secs_f64() - read;
        say(&format!(
            "{reference} {} {} entries {} bytes, read in {read:.2} s, hot set predicted in {predicted:.2} s\n",
            image.manifest.digest,
            image.tree.nodes.len(),
            image.tree.content_bytes(),
        ))?;
    }
    Ok(())
}
