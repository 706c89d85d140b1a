//! `skiff-accelerator hot`: hot sets that are said by hand, and a look at those that are known.

use crate::{Failed, say};
use skiff_accelerator::causes::chain;
use skiff_accelerator::cli::{Hot, HotAction};
use skiff_accelerator::hot::hand::{self, HandError};
use skiff_accelerator::store::Store;
use skiff_accelerator::store::hot::Kept;

impl From<HandError> for Failed {
    fn from(error: HandError) -> Self {
        Self { code: 2, sentence: chain(&error) }
    }
}

pub(crate) async fn run(store: &Store, hot: Hot) -> Result<(), Failed> {
    let Hot { name, is_application, class, action } = hot;
    let subject = hand::subject(&name, is_application)?;
    hand::class(&class)?;
    match action {
        HotAction::Set { file } => {
            let text = std::fs::read(&file).map_err(|error| Failed {
                code: 2,
                sentence: format!("the list {} can't be read: {error}", file.display()),
            })?;
            Ok(store.put_hot_set(&subject, &class, &hand::read(&text)?).await?)
        }
        HotAction::Show => {
            let mut text = String::new();
            for kept in store.traces(&subject).await? {
                show(&mut text, "reported", &kept);
            }
            for kept in store.hot_sets(&subject).await? {
                show(&mut text, "set", &kept);
            }
            say(&text)
        }
        HotAction::Remove => match store.remove_hot(&subject, &class).await? {
            true => Ok(()),
            false => {
                Err(Failed { code: 4, sentence: format!("nothing is known of the {subject}") })
            }
        },
    }
}

/// A line for each path: source, platform, class, repository, path, with tabs between. A dash is nothing.
fn show(text: &mut String, source: &str, kept: &Kept) {
    let or_dash = |text: &str| if text.is_empty() { "-".to_owned() } else { text.to_owned() };
    for item in &kept.listed.items {
        let repository = kept.listed.images.get(usize::from(item.image));
        let words = [
            source.to_owned(),
            or_dash(&kept.platform),
            or_dash(&kept.class),
            or_dash(repository.map_or("", String::as_str)),
            format!("/{}", String::from_utf8_lossy(&item.path)),
        ];
        text.push_str(&words.join("\t"));
        text.push('\n');
    }
}
