//! The options of `skiff trace`.

use super::{TraceOptions, Traced, Until};
use crate::applications::Name;
use skiff_protocol::limits::MAX_WANTED;
use std::time::Duration;

/// Time without `--for`.
const LIMIT: u64 = 30;
/// Time without `--for`, if a port is waited for.
const PORT_LIMIT: u64 = 300;

/// What was given.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Flags {
    /// `--image`, any number of times.
    pub images: Vec<String>,
    /// `--application`.
    pub application: Option<String>,
    /// `--until-port`.
    pub port: Option<u16>,
    /// `--for`.
    pub seconds: Option<u64>,
    /// `--print`.
    pub print: bool,
}

impl Flags {
    /// Makes the command of them and of the words behind `trace`, or says what is wrong.
    pub fn command(self, words: Vec<String>, class: String) -> Result<TraceOptions, String> {
        let Self { images, application, port, seconds, print } = self;
        let application = application
            .map(|name| {
                Name::parse(&name).ok_or(format!("'{name}' can't be an application's name"))
            })
            .transpose()?;
        let traced = match (&*words, images.is_empty(), &application) {
            ([id], true, _) => Traced::Container(id.clone()),
            ([], false, _) => Traced::Images(images),
            ([], true, Some(name)) => Traced::Application(name.clone()),
            _ => {
                let takes = "trace takes one container, or --image IMAGE, or --application NAME";
                return Err(takes.to_owned());
            }
        };
        if matches!(&traced, Traced::Images(images) if images.len() > MAX_WANTED) {
            return Err(format!("more than {MAX_WANTED} images in one trace"));
        }
        let limit = seconds.unwrap_or(if port.is_some() { PORT_LIMIT } else { LIMIT });
        let until = Until { limit: Duration::from_secs(limit.clamp(1, 86_400)), port };
        Ok(TraceOptions { traced, application, class, until, print })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(words: &[&str], flags: Flags) -> Result<TraceOptions, String> {
        flags.command(words.iter().map(|&word| word.to_owned()).collect(), String::new())
    }

    #[test]
    fn what_and_until_when() {
        let shop = || Some("shop".to_owned());
        let options = command(&["web"], Flags::default()).unwrap();
        assert_eq!(options.traced, Traced::Container("web".to_owned()));
        assert_eq!(options.until, Until { limit: Duration::from_secs(30), port: None });
        let images = vec!["a:1".to_owned(), "b:1".to_owned()];
        let flags = Flags { images: images.clone(), port: Some(80), ..Flags::default() };
        let options = command(&[], flags).unwrap();
        assert_eq!(options.traced, Traced::Images(images));
        assert_eq!(options.until, Until { limit: Duration::from_secs(300), port: Some(80) });
        let flags = Flags { application: shop(), seconds: Some(5), ..Flags::default() };
        let options = command(&[], flags).unwrap();
        assert!(matches!(options.traced, Traced::Application(_)), "{options:?}");
        assert_eq!(options.application.map(|name| name.as_str().to_owned()), shop());
        assert_eq!(options.until.limit, Duration::from_secs(5));
    }

    #[test]
    fn mistakes_are_named() {
        let image = || vec!["a:1".to_owned()];
        let text = |text: &str| Some(text.to_owned());
        for (words, flags, said) in [
            (&[][..], Flags::default(), "one container"),
            (&["a", "b"], Flags::default(), "one container"),
            (&["a"], Flags { images: image(), ..Flags::default() }, "one container"),
            (&["a"], Flags { application: text("../x"), ..Flags::default() }, "'../x'"),
            (&[], Flags { images: vec!["a".to_owned(); 33], ..Flags::default() }, "32 images"),
        ] {
            let error = command(words, flags).unwrap_err();
            assert!(error.contains(said), "{words:?}: {error}");
        }
    }
}
