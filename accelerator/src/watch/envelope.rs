//! Notifications in docker-registry's format: an envelope of events. Of each, only its action, the
//! repository, the tag and the digest are read, and only pushes of manifests and indexes count.

use super::queue::Pushed;
use crate::reference::{Reference, is_repository};
use crate::registry::manifest::is_image;
use serde::Deserialize;
use skiff_protocol::Digest;

#[derive(Deserialize)]
struct Envelope {
    events: Vec<Event>,
}

#[derive(Deserialize)]
struct Event {
    action: String,
    #[serde(default)]
    target: Target,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Target {
    #[serde(rename = "mediaType")]
    media_type: String,
    repository: String,
    tag: String,
    digest: String,
}

/// The images that were pushed, each name once, in the order of their first events, as what the last
/// event says.
///
/// # Errors
/// It is no envelope.
pub(super) fn pushed(bytes: &[u8]) -> Result<Vec<Pushed>, serde_json::Error> {
    let envelope: Envelope = serde_json::from_slice(bytes)?;
    let mut pushed: Vec<Pushed> = Vec::new();
    for event in envelope.events {
        if event.action != "push" || !is_image(&event.target.media_type) {
            continue;
        }
        let Some(image) = event.target.image() else {
            tracing::debug!("a notification names no image that can be asked for");
            continue;
        };
        match pushed.iter_mut().find(|known| known.name == image.name) {
            Some(known) => *known = image,
            None => pushed.push(image),
        }
    }
    Ok(pushed)
}

impl Target {
    /// A tag, a digest, or a tag with its digest.
    fn image(&self) -> Option<Pushed> {
        let digest = Digest::parse(&self.digest);
        let name = if self.tag.is_empty() {
            let named = Reference::digest(&self.repository, digest?);
            is_repository(&self.repository).then_some(named)?
        } else {
            Reference::tag(&self.repository, &self.tag).ok()?
        };
        Some(Pushed { name, digest })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

    fn names(text: &str) -> Vec<String> {
        pushed(text.as_bytes()).unwrap().iter().map(|image| image.name.to_string()).collect()
    }

    fn event(action: &str, media_type: &str, rest: &str) -> String {
        format!(
            r#"{{"id":"1","action":"{action}","target":{{"mediaType":"{media_type}",{rest}}}}}"#
        )
    }

    fn envelope(events: &[String]) -> String {
        format!(r#"{{"events":[{}]}}"#, events.join(","))
    }

    /// As docker-registry 2.8 sends it.
    #[test]
    fn an_envelope_of_docker_registry() {
        let text = r#"{ "events": [ {
            "id": "320678d8-ca14-430f-8bb6-4ca139cd83f7",
            "timestamp": "2016-03-09T14:44:26.402973972-08:00",
            "action": "push",
            "target": {
                "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
                "size": 708,
                "digest": "sha256:fea8895f450959fa676bcc1df0611ea93823a735a01205fd8622846041d0c7cf",
                "length": 708,
                "repository": "hello-world",
                "url": "http://192.168.100.227:5000/v2/hello-world/manifests/sha256:fea8",
                "tag": "latest"
            },
            "request": { "id": "6df2", "addr": "192.168.64.11:42961", "method": "PUT" },
            "actor": {}, "source": { "addr": "xtal.local:5000", "instanceID": "a53d" }
        } ] }"#;
        assert_eq!(names(text), ["hello-world:latest"]);
        let digest = "sha256:fea8895f450959fa676bcc1df0611ea93823a735a01205fd8622846041d0c7cf";
        let image = &pushed(text.as_bytes()).unwrap()[0];
        assert_eq!(image.wanted().to_string(), format!("hello-world@{digest}"));
        assert!(names(r#"{"events":[]}"#).is_empty());
    }

    #[test]
    fn the_last_push_of_a_tag_counts() {
        let of = |pair: &str| {
            let digest = format!("sha256:{}", pair.repeat(32));
            event("push", MANIFEST, &format!(r#""repository":"a","tag":"1","digest":"{digest}""#))
        };
        let text = envelope(&[of("ab"), of("cd")]);
        let images = pushed(text.as_bytes()).unwrap();
        let digest = Some(Digest([0xcd; 32]));
        assert_eq!(images, [Pushed { name: Reference::tag("a", "1").unwrap(), digest }]);
        let untold = event("push", MANIFEST, r#""repository":"a","tag":"1""#);
        let images = pushed(envelope(&[untold]).as_bytes()).unwrap();
        assert_eq!(images[0].wanted(), images[0].name);
    }

    #[test]
    fn pushes_of_images_count_and_nothing_else() {
        let digest = format!("sha256:{}", "ab".repeat(32));
        let tagged = format!(r#""repository":"a/b","tag":"1","digest":"{digest}""#);
        let untagged = format!(r#""repository":"a/b","digest":"{digest}""#);
        let index = "application/vnd.docker.distribution.manifest.list.v2+json";
        let events = [
            event("push", "application/octet-stream", &untagged),
            event("pull", MANIFEST, &tagged),
            event("delete", MANIFEST, &untagged),
            event("mount", MANIFEST, &tagged),
            event("push", MANIFEST, &tagged),
            event("push", index, &tagged),
            event("push", MANIFEST, &untagged),
            event("push", MANIFEST, r#""repository":"dot.ted/app","tag":"2""#),
        ];
        let expected = ["a/b:1".to_owned(), format!("a/b@{digest}"), "dot.ted/app:2".to_owned()];
        assert_eq!(names(&envelope(&events)), expected);
        // What it doesn't say is not made up, and names that could leave their place are none.
        let events = [
            event("push", MANIFEST, r#""tag":"1""#),
            event("push", MANIFEST, r#""repository":"a""#),
            event("push", MANIFEST, r#""repository":"../a","tag":"1""#),
            event("push", MANIFEST, r#""repository":"a?b","tag":"1""#),
            event("push", MANIFEST, r#""repository":"a","tag":"1/../x""#),
            event("push", MANIFEST, r#""repository":"a","digest":"sha256:12""#),
            event("push", MANIFEST, &format!(r#""repository":"A","digest":"{digest}""#)),
            r#"{"action":"push"}"#.to_owned(),
        ];
        assert!(names(&envelope(&events)).is_empty());
    }

    #[test]
    fn what_is_no_envelope() {
        let deep = "[".repeat(100_000);
        for bad in ["", "{}", "[]", "{\"events\":{}}", "{\"events\":[1]}", "\u{1}", &deep] {
            assert!(pushed(bad.as_bytes()).is_err(), "{bad:.20}");
        }
    }
}
