//! What an image's config and scripts say of the programs that are started: words, without a shell's rules.
//!
//! A wrong guess costs the bytes of a file that is sent earlier than it had to be.

use serde::Deserialize;

/// Words of a script that are looked at.
const MOST: usize = 512;

/// What of an image's config says how it is started.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Start {
    entrypoint: Option<Vec<String>>,
    cmd: Option<Vec<String>>,
    env: Option<Vec<String>>,
    working_dir: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Config {
    config: Option<Start>,
}

impl Start {
    /// Of a config; the default if it is none.
    pub(super) fn of(config: &[u8]) -> Self {
        serde_json::from_slice::<Config>(config).ok().and_then(|all| all.config).unwrap_or_default()
    }

    /// What is executed, and its arguments.
    pub(super) fn words(&self) -> Vec<String> {
        let all = self.entrypoint.iter().chain(&self.cmd).flatten();
        // A shell's command has words of its own.
        let words = all.flat_map(|word| match word.contains([' ', '\n', ';']) {
            true => commands(word),
            false => vec![word.clone()],
        });
        words.take(MOST).collect()
    }

    /// Python's modules: what stands behind `-m`, and before the colon of `module:name`.
    pub(super) fn modules(&self) -> Vec<String> {
        let words = self.words();
        let behind = words.windows(2).filter(|pair| pair[0] == "-m").map(|pair| pair[1].clone());
        // A package is run by its `__main__`.
        let behind = behind.flat_map(|name| [format!("{name}.__main__"), name]);
        let pairs = words.iter().filter_map(|word| word.split_once(':'));
        let before = pairs.filter(|(_, name)| is_name(name)).map(|(module, _)| module.to_owned());
        behind.chain(before).filter(|name| super::python::is_name(name)).collect()
    }

    /// A variable.
    pub(super) fn variable(&self, variable: &str) -> Option<&str> {
        let mut values = self.env.iter().flatten().filter_map(|text| text.split_once('='));
        values.rfind(|(name, _)| *name == variable).map(|(_, value)| value)
    }

    /// A variable that is a list with colons.
    pub(super) fn list(&self, variable: &str, default: &str) -> Vec<String> {
        self.variable(variable).unwrap_or(default).split(':').map(str::to_owned).collect()
    }

    /// Where relative paths begin.
    pub(super) fn directory(&self) -> &str {
        self.working_dir.as_deref().unwrap_or("/")
    }
}

/// What a script's first line names: the interpreter, and what that is to run if it is `env`.
pub(super) fn interpreter(head: &[u8]) -> Option<(String, Option<String>)> {
    let line = head.strip_prefix(b"#!")?.split(|byte| *byte == b'\n').next()?;
    let line = std::str::from_utf8(line).ok()?;
    let mut words = line.split_whitespace().map(str::to_owned);
    let interpreter = words.next()?;
    let is_env = interpreter.rsplit('/').next() == Some("env");
    let run = words.find(|word| is_env && !word.starts_with('-') && !word.contains('='));
    Some((interpreter, run))
}

/// What stands before a command.
const KEYWORDS: [&str; 14] = [
    "if", "then", "else", "elif", "while", "until", "do", "exec", "!", "time", "nohup", "command",
    "{", "&&",
];

/// Programs that run the rest of their words as another, and how many words of their own are before it.
const RUNNERS: [(&str, usize); 14] = [
    ("gosu", 1),
    ("su-exec", 1),
    ("chroot", 1),
    ("setuidgid", 1),
    ("s6-setuidgid", 1),
    ("timeout", 1),
    ("env", 0),
    ("nice", 0),
    ("setpriv", 0),
    ("sudo", 0),
    ("tini", 0),
    ("dumb-init", 0),
    ("catatonit", 0),
    ("stdbuf", 0),
];

/// Words of a shell script that can name programs and files: those at the place of a command, and those that are
/// absolute paths.
pub(super) fn commands(script: &str) -> Vec<String> {
    let mut found = Vec::new();
    for line in script.lines().filter(|line| !line.trim_start().starts_with('#')) {
        for command in split(line) {
            let words: Vec<&str> =
                command.split_whitespace().map(|word| word.trim_matches(['"', '\''])).collect();
            let mut at = 0;
            // The command, and if that runs another, this one.
            loop {
                let before = |word: &&&str| KEYWORDS.contains(*word) || assigns(word);
                at += words.iter().skip(at).take_while(before).count();
                let Some(first) = words.get(at) else { break };
                at += 1;
                found.extend(is_word(first).then(|| (*first).to_owned()));
                let name = first.rsplit('/').next();
                let runner = RUNNERS.iter().find(|(runner, _)| Some(*runner) == name);
                let Some((_, own)) = runner else { break };
                at += words.iter().skip(at).take_while(|word| word.starts_with('-')).count() + own;
            }
            // Of a pattern, the directory.
            let rest = words.iter().skip(at).filter(|word| word.starts_with('/')).map(|word| {
                let (directory, name) = word.rsplit_once('/').unwrap_or_default();
                if name.contains('*') { directory } else { word }
            });
            found.extend(rest.filter(|word| is_word(word)).map(str::to_owned));
        }
    }
    found.truncate(MOST);
    found
}

/// A line's commands: what separates them counts outside of quotes, and backquotes anywhere.
fn split(line: &str) -> Vec<&str> {
    let (mut commands, mut quote, mut from) = (Vec::new(), None, 0);
    for (at, letter) in line.char_indices() {
        let separates = match letter {
            '"' | '\'' => {
                quote = match quote {
                    None => Some(letter),
                    Some(open) if open == letter => None,
                    open => open,
                };
                false
            }
            '`' => true,
            '(' => quote.is_none() || line[..at].ends_with('$'),
            ';' | '|' | '&' | ')' => quote.is_none(),
            _ => false,
        };
        if separates {
            commands.push(&line[from..at]);
            from = at + 1;
        }
    }
    commands.push(&line[from..]);
    commands
}

/// What a script gives to a variable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    /// An absolute path.
    Absolute(String),
    /// A path below what another variable has.
    Below(String),
}

impl Value {
    /// The path, if it is absolute.
    pub(super) fn absolute(&self) -> Option<&[u8]> {
        match self {
            Self::Absolute(path) => Some(path.as_bytes()),
            Self::Below(_) => None,
        }
    }
}

/// The paths that a script gives to variables: `a=/usr/share/x`, `b="$a/y.sql"`.
pub(super) fn values(script: &str) -> Vec<Value> {
    let mut values = Vec::new();
    for word in script.split([' ', '\t', '\n', ';']).filter(|word| assigns(word)) {
        let Some((_, value)) = word.split_once('=') else { continue };
        let value = value.trim_matches(['"', '\'']);
        if value.starts_with('/') && is_word(value) {
            values.push(Value::Absolute(value.to_owned()));
        } else if let Some((variable, rest)) = value.split_once('/')
            && variable.starts_with('$')
            && is_word(rest)
        {
            values.push(Value::Below(rest.to_owned()));
        }
    }
    values.truncate(MOST);
    values
}

fn assigns(word: &str) -> bool {
    word.split_once('=').is_some_and(|(name, _)| is_name(name))
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

fn is_word(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-/+".contains(&byte);
    text.len() > 1 && text.bytes().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_config_says_what_is_started() {
        let start = Start::of(
            br#"{"config": {"Entrypoint": ["/e.sh"], "Cmd": ["sh", "-c", "exec nginx -g x"],
                "Env": ["A=1", "PATH=/a:/b"], "WorkingDir": "/srv"}}"#,
        );
        assert_eq!(start.words(), ["/e.sh", "sh", "-c", "nginx"]);
        assert_eq!(start.list("PATH", "/c"), ["/a", "/b"]);
        assert_eq!((start.list("B", "/c"), start.directory()), (vec!["/c".to_owned()], "/srv"));
        for odd in [&b"{}"[..], b"", br#"{"config": {"Cmd": null}}"#, br#"{"config": 1}"#] {
            assert!(Start::of(odd).words().is_empty());
        }
    }

    #[test]
    fn a_script_names_its_interpreter() {
        let owned = |text: &str| text.to_owned();
        for (head, expected) in [
            ("#!/bin/sh -e\nx", Some((owned("/bin/sh"), None))),
            ("#! /usr/bin/env node\n", Some((owned("/usr/bin/env"), Some(owned("node"))))),
            ("#!/usr/bin/env -S A=1 node x", Some((owned("/usr/bin/env"), Some(owned("node"))))),
            ("#!\n", None),
            ("\x7fELF", None),
        ] {
            assert_eq!(interpreter(head.as_bytes()), expected, "{head}");
        }
    }

    #[test]
    fn a_script_names_programs_and_files() {
        let script = "\
#!/bin/sh
# find is a comment
set -e
entry_log() { echo \"$@\"; }
if /usr/bin/find \"/docker.d/\" -type f | read v; then
    for f in $(find /docker.d | sort -V); do A=1 exec nginx \"$@\"; done
fi
";
        let found = commands(script);
        for word in ["set", "/usr/bin/find", "/docker.d/", "find", "/docker.d", "sort", "nginx"] {
            assert!(found.iter().any(|found| found == word), "{word} of {found:?}");
        }
        assert!(!found.iter().any(|word| ["is", "comment", "$@", "A=1"].contains(&word.as_str())));
    }
}
