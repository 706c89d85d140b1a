//! The command line.

use crate::applications::Name;
use crate::pull::Wanted;
use crate::trace::{Flags, TraceOptions};
use lexopt::prelude::*;
use std::ffi::OsString;
use std::path::PathBuf;
use thiserror::Error;

/// What `skiff --help` prints.
pub const HELP: &str = "\
skiff: brings container images to this device through an accelerator

usage:
  skiff pull IMAGE... [--dry-run] [--max-bytes N]   pull images, or update them
  skiff deploy NAME [--dry-run] [--max-bytes N]     deploy an application, all or none
                                                    of its images, or update it
  skiff rollback NAME                               go back to what was deployed before,
                                                    without the network; or forward again
  skiff ls                                          list images
  skiff rm IMAGE...                                 remove images
  skiff mount IMAGE DIR                             mount an image's tree, read-only
  skiff trace CONTAINER | --image IMAGE... | --application NAME [--print]
                                                    record which files of images are used
                                                    while their containers start
  skiff status                                      list what unfinished pulls left
  skiff gc                                          remove it

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
    let (mut root, mut max_bytes) = (None, None);
    let (mut json, mut dry_run, mut help, mut version) = (false, false, false, false);
    let (mut words, mut trace) = (Vec::new(), Flags::default());
    let mut parser = lexopt::Parser::from_iter(arguments);
    while let Some(argument) = parser.next()? {
        match argument {
            Long("accelerator") => accelerator = Some(parser.value()?.string()?),
            Long("containerd") => containerd = parser.value()?.into(),
            Long("namespace") => namespace = parser.value()?.string()?,
            Long("snapshotter") => snapshotter = parser.value()?.string()?,
            Long("root") => root = Some(PathBuf::from(parser.value()?)),
            Long("state") => state = Some(PathBuf::from(parser.value()?)),
            Long("max-bytes") => max_bytes = Some(parser.value()?.parse()?),
            Long("image") => trace.images.push(parser.value()?.string()?),
            Long("application") => trace.application = Some(parser.value()?.string()?),
            Long("class") => trace.class = Some(parser.value()?.string()?),
            Long("until-port") => trace.port = Some(parser.value()?.parse()?),
            Long("for") => trace.seconds = Some(parser.value()?.parse()?),
            Long("print") => trace.print = true,
            Long("json") => json = true,
            Long("dry-run") => dry_run = true,
            Short('h') | Long("help") => help = true,
            Short('V') | Long("version") => version = true,
            Value(word) => words.push(word),
            _ => return Err(argument.unexpected().into()),
        }
    }
    let command = if help {
        Command::Help
    } else if version {
        Command::Version
    } else {
        command(words, dry_run, max_bytes, trace)?
    };
    let state = state.unwrap_or_else(|| match &root {
        Some(root) => root.join("skiff"),
        None => PathBuf::from("/var/lib/skiff"),
    });
    Ok(Options { command, accelerator, containerd, namespace, snapshotter, root, state, json })
}

fn command(
    words: Vec<OsString>,
    dry_run: bool,
    max_bytes: Option<u64>,
    trace: Flags,
) -> Result<Command, UsageError> {
    let mut words = words.into_iter();
    let Some(verb) = words.next() else {
        return Err(UsageError("no command is given".to_owned()));
    };
    let verb = verb.string()?;
    if verb != "trace" && trace != Flags::default() {
        let given =
            "--image, --application, --class, --until-port, --for and --print go with trace";
        return Err(UsageError(given.to_owned()));
    }
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
        return if verb == "deploy" {
            Ok(Command::Pull { wanted: Wanted::Application(application), dry_run, max_bytes })
        } else if dry_run || max_bytes.is_some() {
            Err(misplaced())
        } else {
            Ok(Command::Rollback { application })
        };
    }
    let images = words.map(ValueExt::string).collect::<Result<Vec<_>, _>>()?;
    let command = match (verb.as_str(), images.is_empty()) {
        ("trace", _) => Command::Trace(trace.command(images).map_err(UsageError)?),
        ("pull", false) => Command::Pull { wanted: Wanted::Images(images), dry_run, max_bytes },
        ("rm", false) => Command::Remove { images },
        ("pull" | "rm", true) => return Err(UsageError(format!("{verb} needs an image"))),
        ("ls", true) => Command::List,
        ("status", true) => Command::Status,
        ("gc", true) => Command::Collect,
        ("ls" | "status" | "gc", false) => {
            return Err(UsageError(format!("{verb} takes no argument")));
        }
        _ => return Err(UsageError(format!("there is no command '{verb}'"))),
    };
    if (dry_run || max_bytes.is_some()) && !matches!(command, Command::Pull { .. }) {
        return Err(misplaced());
    }
    Ok(command)
}

fn misplaced() -> UsageError {
    UsageError("--dry-run and --max-bytes go with pull and deploy".to_owned())
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
        assert_eq!(options.command, Command::Pull { wanted, dry_run: true, max_bytes: None });
        assert_eq!(options.accelerator.as_deref(), Some("http://h:1"));
        assert_eq!(options.state, PathBuf::from("/r/skiff"));
        assert_eq!(parsed("--json ls").unwrap().command, Command::List);
        let application = Name::parse("shop").unwrap();
        let wanted = Wanted::Application(application.clone());
        let deploy = Command::Pull { wanted, dry_run: false, max_bytes: Some(5) };
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
            ("pull a --print", "go with trace"),
            ("trace", "one container"),
            ("ls --dry-run", "--dry-run"),
            ("pull a --max-bytes many", "many"),
        ] {
            let said = parsed(line).unwrap_err().to_string();
            assert!(said.contains(word), "{line}: {said}");
        }
    }
}
