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

    /// A variable that is a list with colons.
    pub(super) fn list(&self, variable: &str, default: &str) -> Vec<String> {
        let mut values = self.env.iter().flatten().filter_map(|text| text.split_once('='));
        let value = values.rfind(|(name, _)| *name == variable).map(|(_, value)| value);
        value.unwrap_or(default).split(':').map(str::to_owned).collect()
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

/// Words of a shell script that can name programs and files: those at the place of a command, and those that are
/// absolute paths.
pub(super) fn commands(script: &str) -> Vec<String> {
    const KEYWORDS: [&str; 14] = [
        "if", "then", "else", "elif", "while", "until", "do", "exec", "!", "time", "nohup",
        "command", "{", "&&",
    ];
    let mut found = Vec::new();
    for line in script.lines().filter(|line| !line.trim_start().starts_with('#')) {
        for command in line.split([';', '|', '&', '(', ')', '`']) {
            let words = command.split_whitespace().map(|word| word.trim_matches(['"', '\'']));
            let mut words = words.skip_while(|word| {
                let assigns = word.split_once('=').is_some_and(|(name, _)| is_name(name));
                KEYWORDS.contains(word) || assigns
            });
            if let Some(first) = words.next().filter(|first| is_word(first)) {
                found.push(first.to_owned());
            }
            found.extend(words.filter(|w| w.starts_with('/') && is_word(w)).map(str::to_owned));
        }
    }
    found.truncate(MOST);
    found
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
