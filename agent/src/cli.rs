//! The command line.

use crate::applications::Name;
use crate::http::{Pin, SecurityOptions};
use crate::pull::{Budget, Laziness, Wanted};
use crate::trace::{Flags, TraceOptions};
use lexopt::prelude::*;
use skiff_protocol::request::is_class;
use std::ffi::OsString;
use std::mem::take;
use std::path::PathBuf;
use thiserror::Error;

/// What `skiff --help` prints.
pub const HELP: &str = "\
skiff: brings container images to this device through an accelerator

usage:
  skiff pull IMAGE... [PULL OPTION...]              pull images, or update them
  skiff deploy NAME [PULL OPTION...]                deploy an application, all or none
                                                    of its images, or update it
  skiff rollback NAME                               go back to what was deployed before,
                                                    without the network; or forward again
  skiff ls                                          list images
  skiff rm IMAGE...                                 remove images
  skiff mount IMAGE DIR                             mount an image's tree, read-only
  skiff trace CONTAINER | --image IMAGE... | --application NAME
                                                    record which files of images are used
                                                    while their containers start
  skiff status                                      list what is still to come, and what
                                                    unfinished pulls left
  skiff gc                                          remove what they left
  skiff daemon [--class NAME] [--limit-rate N]      pull so that images can be started before
                                                    they are all there, and bring the rest
  skiff holder [--socket PATH]                      keep the daemon's files open over its
                                                    restarts; it starts one by itself

pull options:
  --dry-run           only say how many bytes it would be
  --max-bytes N       refuse to receive more
  --no-full-download  refuse what does not build on what is on the device
  --limit-rate N      receive no more than N bytes per second
  --tries N           give up after N tries in a row that bring nothing [no limit, once an
                      accelerator has answered]
  --max-seconds N     give up after N seconds
  --no-devices        refuse images that have devices (env SKIFF_NO_DEVICES=1)
  --lazy HOW          start before it is all there: auto (where a daemon runs and the
                      file system has leases), require (or fail), never [auto]
  --wait              return only when everything is there

trace options:
  --image IMAGE       the next container of this image
  --application NAME  of the images that are deployed of it; with a container or --image: the
                      application that the trace is reported for
  --class NAME        the class of devices that this one belongs to
  --until-port N      end when a container listens on port N, or after --for
  --for SECONDS       so long after the first start [30; 300 with --until-port]
  --print             print the files instead of telling the accelerator

connection options, of pull, deploy, trace and daemon:
  --ca FILE           over https://, trust these CAs (PEM) instead of the system's (env SKIFF_CA)
  --pin KEY           trust this key (sha256/BASE64 or hexadecimal, of its SubjectPublicKeyInfo)
                      whatever the certificate's name and dates are, for devices without a clock;
                      any of several; with --ca, besides (env SKIFF_PIN, with spaces)
  --token-file FILE   show the bearer token in it, over https:// or to this machine itself only
                      (env SKIFF_TOKEN_FILE)
  --cert FILE, --key FILE
                      show this client certificate (PEM; env SKIFF_CERT, SKIFF_KEY)
                      Where a daemon runs it does the fetching, with its own connection options:
                      give them to skiff daemon. A pull that has others is refused.

options:
  --accelerator URL   address of the accelerator, http:// or https:// (env SKIFF_ACCELERATOR)
  --containerd PATH   containerd's socket (env CONTAINERD_ADDRESS)
                      [/run/containerd/containerd.sock]
  --namespace NAME    containerd's namespace (env CONTAINERD_NAMESPACE) [default]
  --snapshotter NAME  containerd's snapshotter, which must be an overlayfs one [overlayfs]
  --root DIR          use a plain directory instead of containerd
  --state DIR         skiff's own files (env SKIFF_STATE) [/var/lib/skiff, or DIR/skiff]
  --json              JSON lines on standard output
  -h, --help          this text
  -V, --version       the version

an application's NAME: at most 64 letters, digits, '.', '_' and '-'; the first of
them a letter or digit

exit codes:
  0  done
  1  an error without a code of its own
  2  the command line is wrong
  3  the image or application is unknown or has nothing for this device; nothing to
     go back to
  4  the accelerator can't be reached, or the connection broke
  5  the accelerator or its registry can't do what was asked
  6  the stream or an image is damaged
  7  containerd does not answer or refuses
  8  a disk is full, read-only, or fails
  9  another skiff is at work
 10  it can't be started before it is all there (--lazy=require), or daemon or holder
     can't work
 11  skiff status: containers may have read zeros
 12  the accelerator is not trusted: its certificate or key is not right
 13  the accelerator refuses this device: token, client certificate, or an image that
     it may not read
";

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
    let text = |name| env(name).and_then(|value| value.into_string().ok());
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
    };
    let mut pins = Vec::new();
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
    let text = "--dry-run, --max-bytes, --no-full-download, --tries, --max-seconds, --no-devices, --lazy and \
                --wait go with pull and deploy, --limit-rate with them and with daemon, \
                --class with daemon and trace, --socket with holder, \
                --image, --application, --until-port, --for and --print with trace";
    UsageError(text.to_owned())
}

#[cfg(test)]
#[path = "cli_tests.rs"]
mod tests;
