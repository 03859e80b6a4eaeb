//! `--volume`, `--mount` and `--tmpfs`.

use std::path::PathBuf;

use ctr_core::types::config::{Mount, MountKind, Propagation};

use super::value;

/// Options that are handed to the kernel as they are.
const PLAIN: [&str; 12] = [
    "exec",
    "noexec",
    "suid",
    "nosuid",
    "dev",
    "nodev",
    "atime",
    "noatime",
    "diratime",
    "nodiratime",
    "relatime",
    "sync",
];

/// A source on the host: absolute, or relative to here when it begins with a dot.
fn source(text: &str) -> Result<PathBuf, String> {
    if text.starts_with('/') || text.starts_with('.') {
        return std::path::absolute(text).map_err(|error| error.to_string());
    }
    Err(format!(
        "source {text:?} is no path (/... or ./...): this version has no named volumes"
    ))
}

fn target(text: &str) -> Result<String, String> {
    if !text.starts_with('/') {
        return Err(format!("target {text:?} must be an absolute path"));
    }
    if text.split('/').all(|part| part.is_empty() || part == ".") {
        return Err("the target must not be the root".into());
    }
    Ok(text.to_owned())
}

fn propagation(text: &str) -> Option<Propagation> {
    Some(match text {
        "private" => Propagation::Private,
        "rprivate" => Propagation::Rprivate,
        "shared" => Propagation::Shared,
        "rshared" => Propagation::Rshared,
        "slave" => Propagation::Slave,
        "rslave" => Propagation::Rslave,
        _ => return None,
    })
}

/// `SOURCE:TARGET[:OPTIONS]`, or a `TARGET` alone, which becomes an anonymous volume.
pub(crate) fn volume(text: &str) -> Result<Mount, String> {
    if !text.contains(':') && text.starts_with('/') {
        return Ok(Mount {
            destination: target(text)?,
            kind: MountKind::Anonymous {
                volume: String::new(),
                copy_up: true,
            },
            read_only: false,
            options: Vec::new(),
        });
    }
    let mut parts = text.split(':');
    let (Some(from), Some(to), options, None) = (
        parts.next(),
        parts.next(),
        parts.next().unwrap_or_default(),
        parts.next(),
    ) else {
        return Err("use SOURCE:TARGET[:OPTIONS]; this version has no named volumes".into());
    };
    bind(
        source(from)?,
        target(to)?,
        options.split(',').filter(|option| !option.is_empty()),
    )
}

fn bind<'a>(
    from: PathBuf,
    destination: String,
    options: impl Iterator<Item = &'a str>,
) -> Result<Mount, String> {
    let (mut read_only, mut recursive, mut how, mut plain) =
        (false, true, Propagation::default(), Vec::new());
    for option in options {
        match option {
            "ro" | "readonly" => read_only = true,
            "rw" => read_only = false,
            "bind" => recursive = false,
            "rbind" => recursive = true,
            // SELinux labels; this version sets none.
            "z" | "Z" => {}
            option if PLAIN.contains(&option) => plain.push(option.to_owned()),
            option => match propagation(option) {
                Some(found) => how = found,
                None => return Err(format!("unknown option {option:?}")),
            },
        }
    }
    let kind = MountKind::Bind {
        source: from,
        recursive,
        propagation: how,
    };
    Ok(Mount {
        destination,
        kind,
        read_only,
        options: plain,
    })
}

/// `TARGET[:OPTIONS]`.
pub(crate) fn tmpfs(text: &str) -> Result<Mount, String> {
    let (to, options) = text.split_once(':').unwrap_or((text, ""));
    make_tmpfs(
        target(to)?,
        options.split(',').filter(|option| !option.is_empty()),
    )
}

fn make_tmpfs<'a>(
    destination: String,
    options: impl Iterator<Item = &'a str>,
) -> Result<Mount, String> {
    let (mut read_only, mut size, mut mode, mut plain) = (false, None, None, Vec::new());
    for option in options {
        match option.split_once('=').unwrap_or((option, "")) {
            ("ro", "") => read_only = true,
            ("rw", "") => read_only = false,
            ("size" | "tmpfs-size", text) => size = Some(value::size(text)?),
            ("mode" | "tmpfs-mode", text) => {
                mode = Some(
                    u32::from_str_radix(text, 8)
                        .map_err(|_no_number| format!("mode {text:?} is not octal"))?,
                );
            }
            (name, "") if PLAIN.contains(&name) => plain.push(name.to_owned()),
            _ => return Err(format!("unknown option {option:?}")),
        }
    }
    Ok(Mount {
        destination,
        kind: MountKind::Tmpfs { size, mode },
        read_only,
        options: plain,
    })
}

/// `type=bind|tmpfs,source=...,target=...`.
pub(crate) fn mount(text: &str) -> Result<Mount, String> {
    let (mut kind, mut from, mut to, mut rest) = (None, None, None, Vec::new());
    for part in text.split(',') {
        match part.split_once('=').unwrap_or((part, "")) {
            ("type", value) => kind = Some(value),
            ("source" | "src", value) => from = Some(value),
            ("target" | "destination" | "dst", value) => to = Some(value),
            ("readonly" | "ro", "" | "true" | "1") => rest.push("ro"),
            ("readonly" | "ro", "false" | "0") => rest.push("rw"),
            ("bind-propagation", value) => rest.push(value),
            _ => rest.push(part),
        }
    }
    let to = target(to.ok_or("it has no target=")?)?;
    match (kind, from) {
        (Some("bind"), Some(from)) => bind(source(from)?, to, rest.into_iter()),
        (Some("bind"), None) => Err("it has no source=".into()),
        (Some("tmpfs"), None) => make_tmpfs(to, rest.into_iter()),
        (Some("tmpfs"), Some(_)) => Err("a tmpfs has no source".into()),
        _ => Err("use type=bind or type=tmpfs; this version has no other mounts".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn volumes_bind_and_say_what_is_wrong() {
        let bound = volume("/a:/b:ro,rslave").unwrap();
        assert!(bound.read_only);
        assert_eq!(bound.destination, "/b");
        assert!(
            matches!(&bound.kind, MountKind::Bind { source, recursive: true, propagation: Propagation::Rslave }
            if source.as_os_str() == "/a")
        );
        for (bad, why) in [
            ("a", "SOURCE:TARGET"),
            ("/", "root"),
            ("a:/b", "named volumes"),
            ("/a:b", "absolute"),
            ("/a:/", "root"),
            ("/a:/b:x", "\"x\""),
        ] {
            assert!(volume(bad).unwrap_err().contains(why), "{bad}");
        }
    }

    #[test]
    fn mounts_of_both_kinds_are_read() {
        assert_eq!(mount("type=bind,src=/a,dst=/b,ro"), volume("/a:/b:ro"));
        assert_eq!(
            mount("type=tmpfs,target=/t,tmpfs-size=1m"),
            tmpfs("/t:size=1m")
        );
        assert!(matches!(
            tmpfs("/t:mode=1777").unwrap().kind,
            MountKind::Tmpfs {
                mode: Some(0o1777),
                ..
            }
        ));
        for bad in [
            "type=bind,dst=/b",
            "src=/a,dst=/b",
            "type=tmpfs",
            "type=tmpfs,dst=/t,src=/x",
        ] {
            assert!(mount(bad).is_err(), "{bad}");
        }
    }
}
