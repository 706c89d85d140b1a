//! The command line.

mod help;

pub use help::HELP;

use crate::applications::Name;
use crate::http::{Pin, Proxies, SecurityOptions, TreeKey};
use crate::pull::{Budget, Laziness, Wanted};
use crate::trace::{Flags, TraceOptions};
use lexopt::prelude::*;
use skiff_protocol::request::is_class;
use std::ffi::OsString;
use std::mem::take;
use std::path::PathBuf;
use thiserror::Error;

/// What to do.
#[derive(Debug, PartialEq, Eq)]
pub enum Command {
    /// Pull images, or an application's.
    Pull {
        /// What to bring.
        wanted: Wanted,
        /// Only measure.
        dry_run: bool,
        /// Byte budget.
        budget: Budget,
        /// Whether to start before it is all there.
        lazy: Laziness,
        /// Return only when everything is there.
        wait: bool,
        /// Refuse images that have devices.
        no_devices: bool,
    },
    /// Run the daemon.
    Daemon {
        /// The device's class, for hot sets.
        class: String,
        /// Most bytes per second, over all that it receives.
        rate: Option<u64>,
    },
    /// Keep the daemon's files.
    Holder {
        /// Where to listen, if not in the state directory.
        socket: Option<PathBuf>,
    },
    /// Take an application back.
    Rollback {
        /// Its name.
        application: Name,
    },
    /// Take an image back.
    RollbackImage {
        /// Reference.
        image: String,
    },
    /// Compare images with what they should be.
    Verify {
        /// References; all images if none.
        images: Vec<String>,
        /// Mend what is wrong.
        repair: bool,
        /// What it may cost.
        budget: Budget,
    },
    /// List images.
    List,
    /// Remove images.
    Remove {
        /// References.
        images: Vec<String>,
    },
    /// Mount an image.
    Mount {
        /// Reference.
        image: String,
        /// Where.
        directory: PathBuf,
    },
    /// Trace containers.
    Trace(TraceOptions),
    /// List leftovers.
    Status,
    /// Remove leftovers.
    Collect,
    /// Print the help.
    Help,
    /// Print the version.
    Version,
}

/// What to do, and with what.
#[derive(Debug, PartialEq, Eq)]
pub struct Options {
    /// The command.
    pub command: Command,
    /// Address of the accelerator.
    pub accelerator: Option<String>,
    /// How to connect to it.
    pub security: SecurityOptions,
    /// containerd's socket.
    pub containerd: PathBuf,
    /// containerd's namespace.
    pub namespace: String,
    /// containerd's snapshotter.
    pub snapshotter: String,
    /// A plain directory instead of containerd.
    pub root: Option<PathBuf>,
    /// The agent's own files.
    pub state: PathBuf,
    /// JSON lines.
    pub json: bool,
}

/// A command line that can't be understood.
#[derive(Debug, Error)]
#[error("{0}; see skiff --help")]
pub struct UsageError(String);

impl From<lexopt::Error> for UsageError {
    fn from(error: lexopt::Error) -> Self {
        Self(error.to_string())
    }
}

/// Parses the command line. `env` looks up environment variables.
pub fn parse(
    arguments: impl IntoIterator<Item = OsString>,
    env: impl Fn(&str) -> Option<OsString>,
) -> Result<Options, UsageError> {
    let text = |name: &str| env(name).and_then(|value| value.into_string().ok());
    let mut accelerator = text("SKIFF_ACCELERATOR");
    // One that is empty, as in a file of a service's environment, says nothing.
    let file = |name| env(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let keys = text("SKIFF_PIN").unwrap_or_default();
    let mut security = SecurityOptions {
        ca: file("SKIFF_CA"),
        pins: keys.split_whitespace().map(pin).collect::<Result<_, _>>()?,
        token_file: file("SKIFF_TOKEN_FILE"),
        certificate: file("SKIFF_CERT"),
        key: file("SKIFF_KEY"),
        tree_keys: keys_of(&text("SKIFF_TREE_KEY").unwrap_or_default()),
        proxies: Proxies::of(text),
    };
    let (mut pins, mut tree_keys) = (Vec::new(), Vec::new());
    let mut containerd = env("CONTAINERD_ADDRESS")
        .map_or_else(|| PathBuf::from("/run/containerd/containerd.sock"), PathBuf::from);
    let mut namespace = text("CONTAINERD_NAMESPACE").unwrap_or_else(|| "default".to_owned());
    let mut snapshotter = "overlayfs".to_owned();
    let mut state = env("SKIFF_STATE").map(PathBuf::from);
    let mut root = None;
    let (mut json, mut help, mut version) = (false, false, false);
    let mut more = More::default();
    let no_devices = env("SKIFF_NO_DEVICES").is_some_and(|value| !value.is_empty() && value != "0");
    let mut words = Vec::new();
    let mut parser = lexopt::Parser::from_iter(arguments);
    while let Some(argument) = parser.next()? {
        match argument {
            Long("accelerator") => accelerator = Some(parser.value()?.string()?),
            Long("ca") => security.ca = Some(parser.value()?.into()),
            Long("pin") => pins.push(pin(&parser.value()?.string()?)?),
            Long("tree-key") => tree_keys.push(TreeKey::parse(parser.value()?)),
            Long("token-file") => security.token_file = Some(parser.value()?.into()),
            Long("cert") => security.certificate = Some(parser.value()?.into()),
            Long("key") => security.key = Some(parser.value()?.into()),
            Long("containerd") => containerd = parser.value()?.into(),
            Long("namespace") => namespace = parser.value()?.string()?,
            Long("snapshotter") => snapshotter = parser.value()?.string()?,
            Long("root") => root = Some(PathBuf::from(parser.value()?)),
            Long("state") => state = Some(PathBuf::from(parser.value()?)),
            Long("json") => json = true,
            Long("max-bytes") => more.budget.max_bytes = Some(parser.value()?.parse()?),
            Long("no-full-download") => more.budget.only_delta = true,
            Long("limit-rate") => more.budget.rate = Some(positive(parser.value()?.parse()?)?),
            Long("tries") => more.budget.tries = Some(positive(parser.value()?.parse()?)?),
            Long("max-seconds") => more.budget.max_seconds = Some(parser.value()?.parse()?),
            Long("dry-run") => more.dry_run = true,
            Long("no-devices") => more.no_devices = true,
            Long("lazy") => more.lazy = Some(laziness(&parser.value()?.string()?)?),
            Long("wait") => more.wait = true,
            Long("repair") => more.repair = true,
            Long("class") => more.class = Some(class(parser.value()?.string()?)?),
            Long("image") => more.trace.images.push(parser.value()?.string()?),
            Long("application") => more.trace.application = Some(parser.value()?.string()?),
            Long("until-port") => more.trace.port = Some(parser.value()?.parse()?),
            Long("for") => more.trace.seconds = Some(parser.value()?.parse()?),
            Long("print") => more.trace.print = true,
            Long("socket") => more.socket = Some(parser.value()?.into()),
            Short('h') | Long("help") => help = true,
            Short('V') | Long("version") => version = true,
            Value(word) => words.push(word),
            _ => return Err(argument.unexpected().into()),
        }
    }
    let mut command = if help {
        Command::Help
    } else if version {
        Command::Version
    } else {
        command(words, &mut more)?
    };
    if let Command::Pull { no_devices: refused, .. } = &mut command {
        *refused |= no_devices;
    }
    if more != More::default() && !matches!(command, Command::Help | Command::Version) {
        return Err(misplaced());
    }
    if !pins.is_empty() {
        security.pins = pins;
    }
    if !tree_keys.is_empty() {
        security.tree_keys = tree_keys;
    }
    if !security.tree_keys.is_empty() && !cfg!(feature = "tls") {
        let text =
            "this build of skiff can't check signatures (--tree-key): it was built without TLS";
        return Err(UsageError(text.to_owned()));
    }
    if security.certificate.is_some() != security.key.is_some() {
        return Err(UsageError("--cert and --key go together".to_owned()));
    }
    let state = state.unwrap_or_else(|| match &root {
        Some(root) => root.join("skiff"),
        None => PathBuf::from("/var/lib/skiff"),
    });
    Ok(Options {
        command,
        accelerator,
        security,
        containerd,
        namespace,
        snapshotter,
        root,
        state,
        json,
    })
}

/// Options of single commands, which take them out.
#[derive(Debug, Default, PartialEq, Eq)]
struct More {
    budget: Budget,
    dry_run: bool,
    no_devices: bool,
    lazy: Option<Laziness>,
    wait: bool,
    repair: bool,
    class: Option<String>,
    socket: Option<PathBuf>,
    trace: Flags,
}

impl More {
    fn pull(&mut self, wanted: Wanted) -> Command {
        let Self { budget, dry_run, lazy, wait, no_devices, .. } = self;
        let lazy = lazy.take().unwrap_or(Laziness::Auto);
        Command::Pull {
            wanted,
            dry_run: take(dry_run),
            budget: take(budget),
            lazy,
            wait: take(wait),
            no_devices: take(no_devices),
        }
    }
}

fn pin(text: &str) -> Result<Pin, UsageError> {
    Pin::parse(text).ok_or_else(|| {
        UsageError(format!(
            "--pin is sha256/ and the Base64 of a key's SHA-256, or its 64 hexadecimal digits, not '{text}'"
        ))
    })
}

/// Keys and names of files, with spaces between them.
fn keys_of(text: &str) -> Vec<TreeKey> {
    text.split_whitespace().map(|word| TreeKey::parse(word.into())).collect()
}

fn laziness(word: &str) -> Result<Laziness, UsageError> {
    match word {
        "auto" => Ok(Laziness::Auto),
        "require" => Ok(Laziness::Require),
        "never" => Ok(Laziness::Never),
        _ => Err(UsageError(format!("--lazy is auto, require or never, not '{word}'"))),
    }
}

fn positive<N: Default + PartialEq>(number: N) -> Result<N, UsageError> {
    if number == N::default() {
        return Err(UsageError("--tries and --limit-rate are at least 1".to_owned()));
    }
    Ok(number)
}

fn class(name: String) -> Result<String, UsageError> {
    if is_class(&name) {
        return Ok(name);
    }
    Err(UsageError(format!("'{name}' can't be a class: at most 64 letters, digits, '.', '_', '-'")))
}

fn command(words: Vec<OsString>, more: &mut More) -> Result<Command, UsageError> {
    let mut words = words.into_iter();
    let Some(verb) = words.next() else {
        return Err(UsageError("no command is given".to_owned()));
    };
    let verb = verb.string()?;
    if verb == "mount" {
        let (Some(image), Some(directory), None) = (words.next(), words.next(), words.next())
        else {
            return Err(UsageError("mount takes an image and a directory".to_owned()));
        };
        return Ok(Command::Mount { image: image.string()?, directory: directory.into() });
    }
    if matches!(&*verb, "deploy" | "rollback") {
        let (Some(name), None) = (words.next(), words.next()) else {
            return Err(UsageError(format!("{verb} takes the name of one application")));
        };
        let name = name.string()?;
        if verb == "rollback" && name.contains(['/', ':', '@']) {
            return Ok(Command::RollbackImage { image: name });
        }
        let application = Name::parse(&name)
            .ok_or_else(|| UsageError(format!("'{name}' can't be an application's name")))?;
        return Ok(match &*verb {
            "deploy" => more.pull(Wanted::Application(application)),
            _ => Command::Rollback { application },
        });
    }
    let images = words.map(ValueExt::string).collect::<Result<Vec<_>, _>>()?;
    Ok(match (verb.as_str(), images.is_empty()) {
        ("trace", _) => {
            let (flags, class) = (take(&mut more.trace), take(&mut more.class));
            Command::Trace(flags.command(images, class.unwrap_or_default()).map_err(UsageError)?)
        }
        ("pull", false) => more.pull(Wanted::Images(images)),
        ("rm", false) => Command::Remove { images },
        ("verify", _) => {
            let (repair, budget) = (take(&mut more.repair), take(&mut more.budget));
            Command::Verify { images, repair, budget }
        }
        ("pull" | "rm", true) => return Err(UsageError(format!("{verb} needs an image"))),
        ("ls", true) => Command::List,
        ("status", true) => Command::Status,
        ("gc", true) => Command::Collect,
        ("daemon", true) => {
            let (class, rate) = (take(&mut more.class), take(&mut more.budget.rate));
            Command::Daemon { class: class.unwrap_or_default(), rate }
        }
        ("holder", true) => Command::Holder { socket: take(&mut more.socket) },
        ("ls" | "status" | "gc" | "daemon" | "holder", false) => {
            return Err(UsageError(format!("{verb} takes no argument")));
        }
        _ => return Err(UsageError(format!("there is no command '{verb}'"))),
    })
}

fn misplaced() -> UsageError {
    let text = "--dry-run, --no-full-download, --no-devices, --lazy and --wait go with pull and deploy, \
                --max-bytes, --tries and --max-seconds with them and with verify, --limit-rate also with daemon, \
                --repair with verify, --class with daemon and trace, --socket with holder, \
                --image, --application, --until-port, --for and --print with trace";
    UsageError(text.to_owned())
}

#[cfg(test)]
mod tests;
