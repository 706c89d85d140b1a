//! Patterns of repositories: names whose components may have `*`, and `**` at the end.

/// A pattern. `*` stands for any characters of one component, `**` as the last component for one or more components.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern(String);

impl Pattern {
    /// A pattern that can have a repository.
    pub fn parse(text: &str) -> Option<Self> {
        let allowed = |byte: u8| {
            byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-/*".contains(&byte)
        };
        let mut components = text.split('/').rev();
        let last = components.next()?;
        let is_right = text.bytes().all(allowed)
            && !last.is_empty()
            && (last == "**" || !last.contains("**"))
            && components.all(|component| !component.is_empty() && !component.contains("**"));
        is_right.then(|| Self(text.to_owned()))
    }

    /// Whether it has every repository.
    pub fn is_all(&self) -> bool {
        self.0 == "**"
    }

    /// Whether it has this one.
    pub fn has(&self, repository: &str) -> bool {
        let mut names = repository.split('/');
        for pattern in self.0.split('/') {
            let Some(name) = names.next() else { return false };
            if pattern == "**" {
                return true;
            }
            if !fits(pattern.as_bytes(), name.as_bytes()) {
                return false;
            }
        }
        names.next().is_none()
    }
}

/// Whether a component fits one with stars. The place of the last star is where it goes on if what follows does not fit, so
/// that the time is at most the product of the lengths.
fn fits(pattern: &[u8], name: &[u8]) -> bool {
    let (mut at, mut place, mut star) = (0, 0, None);
    while place < name.len() {
        if pattern.get(at) == Some(&b'*') {
            star = Some((at, place));
            at += 1;
        } else if pattern.get(at) == Some(&name[place]) {
            at += 1;
            place += 1;
        } else if let Some((of_star, from)) = star {
            star = Some((of_star, from + 1));
            (at, place) = (of_star + 1, from + 1);
        } else {
            return false;
        }
    }
    pattern[at..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_has_what_it_says() {
        for (pattern, inside, outside) in [
            ("factory/a", &["factory/a"][..], &["factory/ab", "factory/a/b", "factory", "a"][..]),
            ("factory/*", &["factory/a", "factory/b-c"], &["factory", "factory/a/b", "afactory/a"]),
            ("factory/**", &["factory/a", "factory/a/b"], &["factory", "factory2/a"]),
            ("**", &["a", "a/b/c"], &[]),
            ("*", &["a"], &["a/b"]),
            ("*/base", &["x/base"], &["base", "x/y/base", "x/bases"]),
            ("a*b*c/d", &["abc/d", "axxbxbxc/d"], &["abcd/d", "ab/d", "abcx/d"]),
            ("line-*-x", &["line-1-x", "line--x"], &["line-x", "line-1-xy"]),
        ] {
            let parsed = Pattern::parse(pattern).unwrap();
            inside.iter().for_each(|name| assert!(parsed.has(name), "{pattern} {name}"));
            outside.iter().for_each(|name| assert!(!parsed.has(name), "{pattern} {name}"));
            assert_eq!(parsed.is_all(), pattern == "**");
        }
        for pattern in ["", "/", "a/", "/a", "a//b", "A", "a b", "**/a", "a**", "a/b**", "a:1", "ä"]
        {
            assert_eq!(Pattern::parse(pattern), None, "{pattern}");
        }
    }
}
