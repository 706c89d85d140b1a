//! The command line.

use crate::applications::Name;
use crate::pull::{Laziness, Wanted};
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
  skiff daemon [--class NAME]                       pull so that images can be started before
                                                    they are all there, and bring the rest
  skiff holder [--socket PATH]                      keep the daemon's files open over its
                                                    restarts; it starts one by itself

pull options:
  --dry-run           only say how many bytes it would be
  --max-bytes N       refuse to receive more
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

options:
  --accelerator URL   address of the accelerator (env SKIFF_ACCELERATOR)
  --containerd PATH   containerd's socket (env CONTAINERD_ADDRESS)
                      [/run/containerd/containerd.sock]
  --namespace NAME    containerd's namespace (env CONTAINERD_NAMESPACE) [default]
  --snapshotter NAME  containerd's snapshotter, which must be an overlayfs one [overlayfs]
  --root DIR          use a plain directory instead of containerd
  --state DIR         skiff's own files (env SKIFF_STATE) [/var/lib/skiff, or DIR/skiff]
  --image IMAGE       of trace: the next container of this image
  --application NAME  of trace: of the images that are deployed of it; with a container or
                      --image: the application that the trace is reported for
  --class NAME        of trace: the class of devices that this one belongs to
  --until-port N      of trace: end when a container listens on port N, or after --for
  --for SECONDS       of trace: so long after the first start [30; 300 with --until-port]
  --print             of trace: print the files instead of telling the accelerator
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
        max_bytes: Option<u64>,
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
            Long("containerd") => containerd = parser.value()?.into(),
            Long("namespace") => namespace = parser.value()?.string()?,
            Long("snapshotter") => snapshotter = parser.value()?.string()?,
            Long("root") => root = Some(PathBuf::from(parser.value()?)),
            Long("state") => state = Some(PathBuf::from(parser.value()?)),
            Long("json") => json = true,
            Long("max-bytes") => more.max_bytes = Some(parser.value()?.parse()?),
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
    let state = state.unwrap_or_else(|| match &root {
        Some(root) => root.join("skiff"),
        None => PathBuf::from("/var/lib/skiff"),
    });
    Ok(Options { command, accelerator, containerd, namespace, snapshotter, root, state, json })
}

/// Options of single commands, which take them out.
#[derive(Debug, Default, PartialEq, Eq)]
struct More {
    max_bytes: Option<u64>,
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
        let Self { max_bytes, dry_run, lazy, wait, no_devices, .. } = self;
        let lazy = lazy.take().unwrap_or(Laziness::Auto);
        Command::Pull {
            wanted,
            dry_run: take(dry_run),
            max_bytes: take(max_bytes),
            lazy,
            wait: take(wait),
            no_devices: take(no_devices),
        }
    }
}

fn laziness(word: &str) -> Result<Laziness, UsageError> {
    match word {
        "auto" => Ok(Laziness::Auto),
        "require" => Ok(Laziness::Require),
        "never" => Ok(Laziness::Never),
        _ => Err(UsageError(format!("--lazy is auto, require or never, not '{word}'"))),
    }
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
        ("daemon", true) => Command::Daemon { class: take(&mut more.class).unwrap_or_default() },
        ("holder", true) => Command::Holder { socket: take(&mut more.socket) },
        ("ls" | "status" | "gc" | "daemon" | "holder", false) => {
            return Err(UsageError(format!("{verb} takes no argument")));
        }
        _ => return Err(UsageError(format!("there is no command '{verb}'"))),
    })
}

fn misplaced() -> UsageError {
    let text = "--dry-run, --max-bytes, --no-devices, --lazy and --wait go with pull and deploy, \
                --class with daemon and trace, --socket with holder, \
                --image, --application, --until-port, --for and --print with trace";
    UsageError(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Options, UsageError> {
        parse(std::iter::once("skiff").chain(line.split(' ')).map(OsString::from), |_| None)
    }

    #[test]
    fn commands_and_options() {
        let options = parsed("pull a:1 --accelerator=http://h:1 b:2 --dry-run --root /r").unwrap();
        let wanted = Wanted::Images(vec!["a:1".to_owned(), "b:2".to_owned()]);
        let pull = |wanted, dry_run, max_bytes| {
            let (lazy, wait, no_devices) = (Laziness::Auto, false, false);
            Command::Pull { wanted, dry_run, max_bytes, lazy, wait, no_devices }
        };
        assert_eq!(options.command, pull(wanted, true, None));
        assert_eq!(options.accelerator.as_deref(), Some("http://h:1"));
        assert_eq!(options.state, PathBuf::from("/r/skiff"));
        assert_eq!(parsed("--json ls").unwrap().command, Command::List);
        let application = Name::parse("shop").unwrap();
        let wanted = Wanted::Application(application.clone());
        let deploy = pull(wanted, false, Some(5));
        assert_eq!(parsed("deploy shop --max-bytes 5").unwrap().command, deploy);
        assert_eq!(parsed("rollback shop").unwrap().command, Command::Rollback { application });
        assert_eq!(parsed("pull --help").unwrap().command, Command::Help);
    }

    #[test]
    fn mistakes_are_named() {
        for (line, word) in [
            ("pull", "needs an image"),
            ("fly", "'fly'"),
            ("deploy", "one application"),
            ("deploy a b", "one application"),
            ("deploy ../a", "'../a'"),
            ("rollback a --dry-run", "--dry-run"),
            ("ls x", "no argument"),
            ("mount a", "directory"),
            ("pull a --frob", "--frob"),
            ("pull a --print", "--print with trace"),
            ("trace", "one container"),
            ("ls --dry-run", "--dry-run"),
            ("pull a --max-bytes many", "many"),
            ("pull a --lazy=sometimes", "'sometimes'"),
            ("pull a --class x", "--class"),
            ("daemon --class ../x", "'../x'"),
        ] {
            let said = parsed(line).unwrap_err().to_string();
            assert!(said.contains(word), "{line}: {said}");
        }
    }
}
