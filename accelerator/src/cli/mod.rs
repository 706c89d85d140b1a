//! The command line: flags, help, and which exit code an error becomes.

use crate::access::TlsFiles;
use crate::serve::PACK_LEVEL;
use crate::store::PostgresUrl;
use lexopt::prelude::{Long, Short, Value, ValueExt as _};
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// What `skiff-accelerator --help` prints.
pub const HELP: &str = "\
skiff-accelerator: deltas of container images, beside an OCI registry

Usage:
  skiff-accelerator serve  --registry REGISTRY --data DIR [--listen ADDR:PORT]
                           [--database URL] [--cache-bytes N] [--level N]
                           [--platform OS/ARCH[/VARIANT]]... [--poll SECONDS] [--no-traces]
                           [--tls-cert FILE --tls-key FILE [--tls-client-ca FILE]] [--policy FILE]
                           [--sign-key FILE]...
  skiff-accelerator ingest --registry REGISTRY --data DIR [--platform OS/ARCH[/VARIANT]]
                           [--database URL] [--cache-bytes N] IMAGE...
  skiff-accelerator app    --data DIR [--database URL] set NAME IMAGE... | set NAME --compose FILE
                                                       | ls | rm NAME
  skiff-accelerator hot    --data DIR [--database URL] set IMAGE FILE | show IMAGE | rm IMAGE
                           [--class CLASS], with --app NAME instead of IMAGE for an application
  skiff-accelerator graph  --data DIR [--database URL] [--json]

Commands:
  serve   Answer devices. Prints one line, `listening on ADDR:PORT`, once it does. Images that a
          registry says were pushed (notifications to /v1/notify) are read ahead of time.
  ingest  Read images ahead of time. Prints a line for each: reference, manifest, entries,
          content bytes, seconds.
  app     Say which images an application has, for `skiff deploy NAME`: 1 to 32 references, or
          those of a compose file's services. List applications, forget one. Works beside `serve`.
  hot     Say what programs of an image use while they start: FILE has a path in each line, in the order
          of first use. It counts where devices have reported nothing; what they have is shown, too, a
          line for each path: `reported` or `set`, platform, class, repository, path. `rm` forgets both.
          Sets are of an image's repository, whatever its tag.
  graph   Print the states that devices asked for and the deltas between them, for Graphviz or
          as JSON. `serve` has the same at /v1/graph.

Options:
  --registry REGISTRY  http://HOST[:PORT], https://HOST[:PORT], or oci:DIR (DIR/REPOSITORY/oci-layout)
  --data DIR           where metadata and caches are kept; each `serve` needs its own, and the other commands
                       work beside it
  --database URL       postgres://USER[:PASSWORD]@HOST[:PORT]/DATABASE: metadata are kept in this
                       PostgreSQL database (without TLS), which several accelerators may share, and
                       one of them reads a layer for all; default SQLite, DIR/metadata.db
  --listen ADDR:PORT   default 127.0.0.1:7780; port 0 takes any free port
  --platform PLATFORM  default linux/ and this machine's architecture. `serve` takes several, and reads
                       ahead for these; by default for those that devices asked for since the start,
                       and before the first for this machine's
  --poll SECONDS       look every so many seconds, at least 10, whether tags have moved that devices
                       asked for or applications name, for registries that send no notifications
  --tls-cert FILE, --tls-key FILE
                       `serve`: speak TLS 1.3, with this certificate (and those that lead to its CA) and
                       its key, in PEM; read again when they change
  --tls-client-ca FILE `serve`: take client certificates of these CAs; without --policy, want one
  --policy FILE        `serve`: only these may read, and only this; read again when it changes. A line is
                       `token SHA256 REPOSITORY...`, with the SHA-256 of a bearer token, or
                       `certificate NAME REPOSITORY...`, with a DNS name of a client certificate. In a
                       repository `*` is any part of a component, `**` at the end all that follows
  --sign-key FILE      `serve`: sign tables of contents by this Ed25519 key (PKCS#8 in PEM, as `openssl genpkey
                       -algorithm ed25519` makes it), for devices that have its public key (--tree-key);
                       read again when it changes. Several, at most 4: by each
  --no-traces          `serve`: refuse what devices report of what was opened (POST /v1/trace)
  --class CLASS        `hot`: for devices of this class only
  --cache-bytes N      most bytes of cached layers and packs, each; default 8 GiB
  --level N            how hard packs are compressed, 1 to 12; default 6
  -h, --help           this text
  -V, --version        the version

Environment:
  PGPASSWORD           the password for --database, which other users can't see there as they can
                       in the command line; ~/.pgpass is read, too
  SKIFF_NOTIFY_TOKEN   `serve`: notifications have to show it, as `Authorization: Bearer TOKEN`
  SKIFF_LOG            error, warn, info (default), debug or trace; the log goes to stderr

Exit codes:
  0  done
  1  something failed that is not listed below
  2  the command line is wrong, or a file that it names
  3  the data directory, the database or the address can't be used
  4  an image is not found, or has nothing for the platform
  5  the registry does not answer or refuses access
  6  an image is damaged or can't be unpacked
";

/// A command and its flags.
#[derive(Debug, PartialEq, Eq)]
pub enum Command {
    /// Print the help.
    Help,
    /// Print the version.
    Version,
    /// Serve.
    Serve {
        /// From where, and what is kept.
        common: Common,
        /// Where to listen.
        listen: SocketAddr,
        /// How hard packs are compressed.
        level: i32,
        /// What to read ahead of time.
        ahead: Ahead,
        /// Take reports of what was opened.
        traces: bool,
        /// Who is let in.
        security: Security,
    },
    /// Ingest images.
    Ingest {
        /// From where, and what is kept.
        common: Common,
        /// For which platform.
        platform: String,
        /// References.
        images: Vec<String>,
    },
    /// Applications.
    App {
        /// Where they are kept.
        metadata: Metadata,
        /// What to do.
        action: App,
    },
    /// Hot sets.
    Hot {
        /// Where they are kept.
        metadata: Metadata,
        /// Which, and what to do.
        hot: Hot,
    },
    /// Print the graph.
    Graph {
        /// Where it is kept.
        metadata: Metadata,
        /// As JSON, not as DOT.
        json: bool,
    },
}

/// How `serve` is reached, and by whom.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Security {
    /// TLS.
    pub tls: Option<TlsFiles>,
    /// Who may read what.
    pub policy: Option<PathBuf>,
    /// Keys that sign.
    pub sign_keys: Vec<PathBuf>,
}

impl Security {
    fn new(
        certificate: Option<PathBuf>,
        key: Option<PathBuf>,
        client_ca: Option<PathBuf>,
        policy: Option<PathBuf>,
        sign_keys: Vec<PathBuf>,
    ) -> Result<Self, lexopt::Error> {
        let tls = match (certificate, key) {
            (Some(certificate), Some(key)) => Some(TlsFiles { certificate, key, client_ca }),
            (None, None) if client_ca.is_none() => None,
            _ => {
                return Err(
                    "--tls-cert and --tls-key go together, and --tls-client-ca with them".into()
                );
            }
        };
        Ok(Self { tls, policy, sign_keys })
    }
}

/// What `serve` reads ahead of time.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Ahead {
    /// For which platforms.
    pub platforms: Vec<String>,
    /// How often to look at tags.
    pub poll: Option<Duration>,
}

/// What to do with applications.
#[derive(Debug, PartialEq, Eq)]
pub enum App {
    /// Say what one is.
    Set {
        /// Its name.
        name: String,
        /// References of its images.
        images: Vec<String>,
    },
    /// Say what one is by a compose file.
    Compose {
        /// Its name.
        name: String,
        /// The file.
        file: PathBuf,
    },
    /// List them.
    List,
    /// Forget one.
    Remove {
        /// Its name.
        name: String,
    },
}

/// A hot set, and what to do with it.
#[derive(Debug, PartialEq, Eq)]
pub struct Hot {
    /// The image or application that it is of.
    pub name: String,
    /// Whether that names an application.
    pub is_application: bool,
    /// The class of devices; empty for all.
    pub class: String,
    /// What to do.
    pub action: HotAction,
}

/// What to do with a hot set.
#[derive(Debug, PartialEq, Eq)]
pub enum HotAction {
    /// Say it.
    Set {
        /// A path in each line.
        file: PathBuf,
    },
    /// Show it.
    Show,
    /// Forget it.
    Remove,
}

/// Where metadata are.
#[derive(Debug, PartialEq, Eq)]
pub struct Metadata {
    /// The data directory.
    pub data: PathBuf,
    /// The database, if not there.
    pub database: Option<PostgresUrl>,
}

/// What `serve` and `ingest` need.
#[derive(Debug, PartialEq, Eq)]
pub struct Common {
    /// Where images come from.
    pub registry: String,
    /// Where metadata are kept; caches are in the directory.
    pub metadata: Metadata,
    /// Most bytes of each cache.
    pub cache_bytes: u64,
}

const CACHE_BYTES: u64 = 8 << 30;

/// Reads the command line, without the program's name.
pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Command, lexopt::Error> {
    let mut parser = lexopt::Parser::from_args(arguments);
    let mut values = Vec::new();
    let (mut registry, mut data, mut database) = (None, None, None);
    let mut cache_bytes = CACHE_BYTES;
    let (mut listen, mut level, mut ahead) = (None, None, Ahead::default());
    let (mut compose, mut json) = (None, false);
    let (mut application, mut class, mut no_traces) = (None, None, false);
    let mut sign_keys = Vec::new();
    let (mut certificate, mut key, mut client_ca, mut policy) = (None, None, None, None);
    while let Some(argument) = parser.next()? {
        match argument {
            Short('h') | Long("help") => return Ok(Command::Help),
            Short('V') | Long("version") => return Ok(Command::Version),
            Long("registry") => registry = Some(parser.value()?.string()?),
            Long("data") => data = Some(PathBuf::from(parser.value()?)),
            Long("database") => database = Some(database_url(parser.value()?)?),
            Long("cache-bytes") => cache_bytes = parser.value()?.parse()?,
            Long("listen") => listen = Some(parser.value()?.parse()?),
            Long("compose") => compose = Some(PathBuf::from(parser.value()?)),
            Long("json") => json = true,
            Long("app") => application = Some(parser.value()?.string()?),
            Long("class") => class = Some(parser.value()?.string()?),
            Long("no-traces") => no_traces = true,
            Long("tls-cert") => certificate = Some(PathBuf::from(parser.value()?)),
            Long("tls-key") => key = Some(PathBuf::from(parser.value()?)),
            Long("tls-client-ca") => client_ca = Some(PathBuf::from(parser.value()?)),
            Long("policy") => policy = Some(PathBuf::from(parser.value()?)),
            Long("sign-key") => sign_keys.push(PathBuf::from(parser.value()?)),
            Long("platform") => ahead.platforms.push(parser.value()?.string()?),
            Long("poll") => {
                ahead.poll =
                    Some(parser.value()?.parse_with(|text| match text.parse::<u32>() {
                        Ok(seconds @ 10..) => Ok(Duration::from_secs(seconds.into())),
                        _ => Err("it has to be a number of seconds, at least 10"),
                    })?);
            }
            Long("level") => {
                level = Some(parser.value()?.parse_with(|text| match text.parse() {
                    Ok(level @ 1..=12) => Ok(level),
                    _ => Err("it has to be 1 to 12"),
                })?);
            }
            Value(value) => values.push(value.string()?),
            _ => return Err(argument.unexpected()),
        }
    }
    let mut values = values.into_iter();
    let command = values.next().ok_or("name a command, like `serve`; see --help")?;
    let data = data.ok_or("--data is missing; give a directory for metadata and caches")?;
    let metadata = Metadata { data, database };
    let images: Vec<String> = values.collect();
    if compose.is_some() && command != "app" {
        return Err("--compose goes with `app set NAME`".into());
    }
    if (application.is_some() || class.is_some()) && command != "hot" {
        return Err("--app and --class go with `hot`".into());
    }
    if no_traces && command != "serve" {
        return Err("--no-traces goes with `serve`".into());
    }
    let security = Security::new(certificate, key, client_ca, policy, sign_keys)?;
    if security != Security::default() && command != "serve" {
        let text =
            "--tls-cert, --tls-key, --tls-client-ca, --policy and --sign-key go with `serve`";
        return Err(text.into());
    }
    match command.as_str() {
        "hot" => return Ok(Command::Hot { metadata, hot: hot(images, application, class)? }),
        "app" => return Ok(Command::App { metadata, action: app(images, compose)? }),
        "graph" if images.is_empty() => return Ok(Command::Graph { metadata, json }),
        "graph" => return Err("`graph` takes no argument".into()),
        _ if json => return Err("--json goes with `graph`".into()),
        _ => {}
    }
    let common = Common {
        registry: registry.ok_or("--registry is missing; give http://…, https://… or oci:DIR")?,
        metadata,
        cache_bytes,
    };
    match command.as_str() {
        "serve" if !images.is_empty() => Err("`serve` takes no images".into()),
        "serve" => Ok(Command::Serve {
            common,
            listen: listen.unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 7780))),
            level: level.unwrap_or(PACK_LEVEL),
            ahead,
            traces: !no_traces,
            security,
        }),
        "ingest" if listen.is_some() || level.is_some() || ahead.poll.is_some() => {
            Err("`ingest` takes none of --listen, --level and --poll".into())
        }
        "ingest" if ahead.platforms.len() > 1 => Err("`ingest` takes one --platform".into()),
        "ingest" if images.is_empty() => Err("`ingest` needs an image, like `nginx:1.27`".into()),
        "ingest" => Ok(Command::Ingest {
            common,
            platform: ahead.platforms.pop().unwrap_or_else(native_platform),
            images,
        }),
        other => Err(format!("there is no command {other:?}; see --help").into()),
    }
}

fn app(words: Vec<String>, compose: Option<PathBuf>) -> Result<App, lexopt::Error> {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match (&words[..], compose) {
        (["set", name], Some(file)) => Ok(App::Compose { name: (*name).to_owned(), file }),
        (["set", name, images @ ..], None) if !images.is_empty() => {
            let images = images.iter().map(|&image| image.to_owned()).collect();
            Ok(App::Set { name: (*name).to_owned(), images })
        }
        (["ls"], None) => Ok(App::List),
        (["rm", name], None) => Ok(App::Remove { name: (*name).to_owned() }),
        _ => {
            Err("`app` takes `set NAME IMAGE...`, `set NAME --compose FILE`, `ls` or `rm NAME`"
                .into())
        }
    }
}

fn hot(
    words: Vec<String>,
    application: Option<String>,
    class: Option<String>,
) -> Result<Hot, lexopt::Error> {
    let is_application = application.is_some();
    let mut words = words.into_iter();
    let (verb, name) = (words.next(), application.or_else(|| words.next()));
    let rest: Vec<String> = words.collect();
    let action =
        match (verb.as_deref(), &rest[..]) {
            (Some("set"), [file]) => HotAction::Set { file: file.into() },
            (Some("show"), []) => HotAction::Show,
            (Some("rm"), []) => HotAction::Remove,
            _ => return Err(
                "`hot` takes `set IMAGE FILE`, `show IMAGE` or `rm IMAGE`, or --app NAME for IMAGE"
                    .into(),
            ),
        };
    let name = name.ok_or("`hot` needs an image, or --app NAME")?;
    Ok(Hot { name, is_application, class: class.unwrap_or_default(), action })
}

/// lexopt's own errors would repeat the value, and with it the password.
fn database_url(value: OsString) -> Result<PostgresUrl, lexopt::Error> {
    let text = value.into_string().map_err(|_| "--database is not text in UTF-8")?;
    PostgresUrl::parse(&text).map_err(|error| error.to_string().into())
}

/// This machine, in the OCI's words.
pub fn native_platform() -> String {
    match std::env::consts::ARCH {
        "x86_64" => "linux/amd64".to_owned(),
        "aarch64" => "linux/arm64".to_owned(),
        "arm" => "linux/arm/v7".to_owned(),
        other => format!("linux/{other}"),
    }
}

#[cfg(test)]
mod tests;
