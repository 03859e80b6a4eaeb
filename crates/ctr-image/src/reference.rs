//! Names of images (distribution's reference grammar): `[host[:port]/]path[:tag][@digest]`.

use std::fmt;
use std::str::FromStr;

use ctr_types::{Digest, DigestError};

/// Longest name without tag and digest, in bytes.
const MAX_NAME: usize = 255;

/// Why a text names no image.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReferenceError {
    /// A part of it is not allowed.
    #[error("invalid image name {text:?}: {rule}")]
    Malformed {
        /// The text, cut to 80 characters and with control characters escaped.
        text: String,
        /// The rule.
        rule: &'static str,
    },
    /// Its digest is none.
    #[error("invalid image name")]
    Digest(#[from] DigestError),
}

/// An image's name, split into its parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageReference {
    /// Host and port, when it has one.
    pub host: Option<String>,
    /// The path.
    pub path: String,
    /// The tag.
    pub tag: Option<String>,
    /// The digest.
    pub digest: Option<Digest>,
}

fn is_path_component(text: &str) -> bool {
    // [a-z0-9]+ joined by one dot, one or two underscores, or any number of dashes.
    let mut separators = String::new();
    let mut letters = false;
    for c in text.chars() {
        if c.is_ascii_lowercase() || c.is_ascii_digit() {
            let joined = matches!(separators.as_str(), "" | "." | "_" | "__")
                || separators.bytes().all(|byte| byte == b'-');
            if !joined || (!letters && !separators.is_empty()) {
                return false;
            }
            separators.clear();
            letters = true;
        } else if matches!(c, '.' | '_' | '-') {
            separators.push(c);
        } else {
            return false;
        }
    }
    letters && separators.is_empty()
}

fn is_host(text: &str) -> bool {
    let (name, port) = text
        .split_once(':')
        .map_or((text, None), |(name, port)| (name, Some(port)));
    let label = |label: &str| {
        !label.is_empty()
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    name.split('.').all(label)
        && port
            .is_none_or(|port| !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()))
}

fn is_tag(text: &str) -> bool {
    let mut bytes = text.bytes();
    bytes
        .next()
        .is_some_and(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        && text.len() <= 128
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-'))
}

impl FromStr for ImageReference {
    type Err = ReferenceError;
    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        let bad = |rule| ReferenceError::Malformed {
            text: text
                .chars()
                .take(80)
                .flat_map(char::escape_default)
                .collect(),
            rule,
        };
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest.parse()?)),
            None => (text, None),
        };
        // A colon behind the last slash begins a tag; one before it, a port.
        let (name, tag) = match rest.rsplit_once(':') {
            Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
            _ => (rest, None),
        };
        if let Some(tag) = tag
            && !is_tag(tag)
        {
            return Err(bad("a tag is up to 128 letters, digits, '_', '.' and '-'"));
        }
        let (host, path) = match name.split_once('/') {
            Some((first, path))
                if first.contains(['.', ':'])
                    || first == "localhost"
                    || first.chars().any(char::is_uppercase) =>
            {
                (Some(first), path)
            }
            _ => (None, name),
        };
        if host.is_some_and(|host| !is_host(host)) {
            return Err(bad("its host is malformed"));
        }
        if path.is_empty() || !path.split('/').all(is_path_component) {
            return Err(bad(
                "use lower-case letters and digits, with '.', '_', '-' and '/' between them",
            ));
        }
        if name.len() > MAX_NAME {
            return Err(bad("it is longer than 255 characters"));
        }
        Ok(Self {
            host: host.map(str::to_owned),
            path: path.to_owned(),
            tag: tag.map(str::to_owned),
            digest,
        })
    }
}

impl fmt::Display for ImageReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(host) = &self.host {
            write!(f, "{host}/")?;
        }
        f.write_str(&self.path)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(f, "@{digest}")?;
        }
        Ok(())
    }
}

impl ImageReference {
    /// The name under which something made here is kept, as podman does: on `localhost` unless it says where, and `latest`
    /// unless it says which.
    #[must_use]
    pub fn normalized(mut self) -> Self {
        if self.host.is_none() {
            self.host = Some("localhost".to_owned());
        }
        if self.tag.is_none() && self.digest.is_none() {
            self.tag = Some("latest".to_owned());
        }
        self
    }

    /// The name under which something that docker has named is kept: without a host it is docker's hub that is meant.
    #[must_use]
    pub fn from_docker(mut self) -> Self {
        if self.host.is_none() {
            self.host = Some("docker.io".to_owned());
            if !self.path.contains('/') {
                self.path = format!("library/{}", self.path);
            }
        }
        self.normalized()
    }

    /// The kept names that this one may mean, the likeliest first: itself, on `localhost`, on docker's hub.
    pub fn candidates(&self) -> Vec<String> {
        let mut exact = self.clone();
        if exact.tag.is_none() && exact.digest.is_none() {
            exact.tag = Some("latest".to_owned());
        }
        let mut names = vec![exact.to_string()];
        if self.host.is_none() {
            names.push(format!("localhost/{exact}"));
            if !self.path.contains('/') {
                names.push(format!("docker.io/library/{exact}"));
            }
            names.push(format!("docker.io/{exact}"));
        }
        names
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_docker_gave_are_on_its_hub() {
        let kept = |text: &str| {
            text.parse::<ImageReference>()
                .unwrap()
                .from_docker()
                .to_string()
        };
        assert_eq!(kept("busybox"), "docker.io/library/busybox:latest");
        assert_eq!(kept("a/b:1"), "docker.io/a/b:1");
        assert_eq!(kept("localhost/a"), "localhost/a:latest");
    }

    #[test]
    fn names_are_split_as_docker_does() {
        let parse = |text: &str| text.parse::<ImageReference>().unwrap();
        assert_eq!(
            parse("busybox").normalized().to_string(),
            "localhost/busybox:latest"
        );
        assert_eq!(
            parse("docker.io/library/x:1").host.as_deref(),
            Some("docker.io")
        );
        assert_eq!(parse("localhost:5000/a/b:c_1").tag.as_deref(), Some("c_1"));
        assert_eq!(parse("a/b").host, None);
        let digest = format!("x@sha256:{}", "0".repeat(64));
        assert_eq!(parse(&digest).to_string(), digest);
        assert_eq!(
            parse("busybox").candidates(),
            [
                "busybox:latest",
                "localhost/busybox:latest",
                "docker.io/library/busybox:latest",
                "docker.io/busybox:latest"
            ]
        );
    }

    #[test]
    fn h26_odd_names_are_refused() {
        let long = "a".repeat(300);
        for bad in [
            "",
            "../../etc",
            "/x",
            "x/",
            "X",
            "a//b",
            "a:b:c",
            "a:",
            ":a",
            "a@sha256:1",
            "a\n",
            "a b",
            "-a",
            "a-",
            "a..b",
            "a___b",
            "ho_st.x/a",
            "a:-x",
            "\u{1b}[31m",
            &long,
        ] {
            assert!(bad.parse::<ImageReference>().is_err(), "{bad:?}");
        }
        let error = "a\u{1b}[31m".parse::<ImageReference>().unwrap_err();
        assert!(!error.to_string().contains('\u{1b}'));
    }
}
