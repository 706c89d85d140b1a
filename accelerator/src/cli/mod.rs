//! The command line: flags, help, and which exit code an error becomes.

mod help;

pub use help::HELP;

use crate::access::TlsFiles;
use crate::packs::encoding::Levels;
use crate::store::PostgresUrl;
use lexopt::prelude::{Long, Short, Value, ValueExt as _};
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

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
        levels: Levels,
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
    let (mut listen, mut level, mut zstd_level, mut idle_level) = (None, None, None, None);
    let mut ahead = Ahead::default();
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
            Long("zstd-level") => {
                zstd_level = Some(parser.value()?.parse_with(|text| match text.parse() {
                    Ok(level @ 1..=19) => Ok(level),
                    _ => Err("it has to be 1 to 19"),
                })?);
            }
            Long("idle-zstd-level") => {
                idle_level = Some(parser.value()?.parse_with(|text| match text.parse() {
                    Ok(level @ 0..=19) => Ok(level),
                    _ => Err("it has to be 0 to 19"),
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
            levels: Levels {
                deflate: level.unwrap_or(Levels::default().deflate),
                zstd: zstd_level.unwrap_or(Levels::default().zstd),
                idle: idle_level.unwrap_or(Levels::default().idle),
            },
            ahead,
            traces: !no_traces,
            security,
        }),
        "ingest"
            if listen.is_some()
                || level.or(zstd_level).or(idle_level).is_some()
                || ahead.poll.is_some() =>
        {
            let text = "`ingest` takes none of --listen, --level, --zstd-level, --idle-zstd-level and --poll";
            Err(text.into())
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
