//! Who a process is: `user[:group]` by the passwd and group files of the container's own root file system.
//!
//! Contents of those files are never repeated in an error: they may be links to a secret (reliability.md H15).

use ctr_sys::SysError;
use ctr_sys::error::Context as _;

use crate::rootfs::{RootFs, lines};

/// Most supplementary groups taken from the image (Linux allows 65536; more than this is an attack or an accident).
const MAX_GROUPS: usize = 1024;

/// Why a user could not be found.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UserError {
    /// The text is not `user[:group]`.
    #[error("{0:?} is not a user: use a name or number, perhaps with :group")]
    Malformed(String),
    /// No such user.
    #[error("unable to find user {0}: no matching entries in the image's passwd file")]
    NoUser(String),
    /// No such group.
    #[error("unable to find group {0}: no matching entries in the image's group file")]
    NoGroup(String),
    /// A file could not be read.
    #[error("{0}")]
    File(String),
}

/// A user, by numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResolvedUser {
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
    /// Supplementary groups, sorted.
    pub groups: Vec<u32>,
    /// Home directory, if the passwd file names one.
    pub home: Option<String>,
}

impl From<SysError> for UserError {
    fn from(error: SysError) -> Self {
        let cause = std::error::Error::source(&error).map(|source| format!(": {source}"));
        Self::File(format!("{error}{}", cause.unwrap_or_default()))
    }
}

/// Finds `user[:group]`; nothing means root.
///
/// # Errors
/// [`UserError`]: a name must be in the files, a number need not.
pub fn resolve(rootfs: &RootFs, text: &str) -> Result<ResolvedUser, UserError> {
    let passwd = rootfs.read("/etc/passwd")?.unwrap_or_default();
    let group = rootfs.read("/etc/group")?.unwrap_or_default();
    let passwd = lines(&passwd).context("read", || "/etc/passwd of the image")?;
    let group = lines(&group).context("read", || "/etc/group of the image")?;
    resolve_in(&passwd, &group, text)
}

/// Adds supplementary groups by name or id (`--group-add`).
///
/// # Errors
/// [`UserError::NoGroup`]: a name must be in the image's group file, a number need not.
pub fn add_groups(
    rootfs: &RootFs,
    user: &mut ResolvedUser,
    names: &[String],
) -> Result<(), UserError> {
    if names.is_empty() {
        return Ok(());
    }
    let group = rootfs.read("/etc/group")?.unwrap_or_default();
    let group = lines(&group).context("read", || "/etc/group of the image")?;
    for name in names {
        let id = group_id(&group, name).ok_or_else(|| UserError::NoGroup(name.clone()))?;
        user.groups.push(id);
    }
    user.groups.sort_unstable();
    user.groups.dedup();
    Ok(())
}

/// A group's id: by name, or the number itself. A name wins over a number, as in docker and podman.
fn group_id(group: &[&str], wanted: &str) -> Option<u32> {
    let named = group.iter().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next()? == wanted)
            .then(|| fields.nth(1))
            .flatten()
            .and_then(number)
    });
    named.or_else(|| number(wanted))
}

struct Passwd<'a> {
    name: &'a str,
    uid: u32,
    gid: u32,
    home: &'a str,
}

fn passwd_entry<'a>(line: &'a str) -> Option<Passwd<'a>> {
    let fields: Vec<&'a str> = line.split(':').collect();
    let field = |at: usize| fields.get(at).copied();
    Some(Passwd {
        name: field(0)?,
        uid: number(field(2)?)?,
        gid: number(field(3)?)?,
        home: field(5).unwrap_or_default(),
    })
}

/// An id; the last one means "no change" to the kernel and is nobody's.
fn number(text: &str) -> Option<u32> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|id| digits && *id != u32::MAX)
}

fn resolve_in(passwd: &[&str], group: &[&str], text: &str) -> Result<ResolvedUser, UserError> {
    let malformed = || UserError::Malformed(text.chars().take(80).collect());
    let (user, wanted_group) = match text.split_once(':') {
        Some((user, group)) => (user, Some(group).filter(|group| !group.is_empty())),
        None => (text, None),
    };
    let odd = |part: &str| {
        part.starts_with('-')
            || part
                .chars()
                .any(|c| c.is_control() || c.is_whitespace() || c == ':')
    };
    if odd(user) || wanted_group.is_some_and(odd) {
        return Err(malformed());
    }
    let user = if user.is_empty() { "0" } else { user };
    let entries = || passwd.iter().filter_map(|line| passwd_entry(line));
    let all_digits = user.bytes().all(|byte| byte.is_ascii_digit());
    if all_digits && number(user).is_none() {
        return Err(malformed());
    }
    // A name wins over a number, as in docker and podman.
    let entry = entries()
        .find(|entry| entry.name == user)
        .or_else(|| number(user).and_then(|uid| entries().find(|entry| entry.uid == uid)));
    let (uid, mut gid, home) = match &entry {
        Some(entry) => (
            entry.uid,
            entry.gid,
            Some(entry.home).filter(|home| home.starts_with('/')),
        ),
        None => match number(user) {
            Some(uid) => (uid, 0, None),
            None => return Err(UserError::NoUser(user.to_owned())),
        },
    };
    let mut groups = Vec::new();
    match wanted_group {
        Some(wanted) => {
            gid = match group_id(group, wanted) {
                Some(gid) => gid,
                None if wanted.bytes().all(|byte| byte.is_ascii_digit()) => {
                    return Err(malformed());
                }
                None => return Err(UserError::NoGroup(wanted.to_owned())),
            };
        }
        None => {
            if let Some(entry) = &entry {
                for line in group {
                    let fields: Vec<&str> = line.split(':').collect();
                    let member = fields
                        .get(3)
                        .is_some_and(|members| members.split(',').any(|name| name == entry.name));
                    if let (true, Some(gid)) = (member, fields.get(2).and_then(|text| number(text)))
                    {
                        groups.push(gid);
                    }
                    if groups.len() >= MAX_GROUPS {
                        break;
                    }
                }
            }
        }
    }
    groups.sort_unstable();
    groups.dedup();
    Ok(ResolvedUser {
        uid,
        gid,
        groups,
        home: home.map(str::to_owned),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: [&str; 5] = [
        "root:x:0:0:root:/root:/bin/sh",
        "app:x:1000:100:App:/home/app:/bin/sh",
        "7:x:1007:107::/seven:",
        "broken",
        "evil:x:4294967296:0::/:",
    ];
    const GROUP: [&str; 4] = [
        "root:x:0:",
        "users:x:100:",
        "wheel:x:10:app,root",
        "audio:x:29:app",
    ];

    fn found(text: &str) -> Result<(u32, u32, Vec<u32>), UserError> {
        resolve_in(&PASSWD, &GROUP, text).map(|user| (user.uid, user.gid, user.groups))
    }

    #[test]
    fn users_and_groups_are_found_by_name_and_number() {
        assert_eq!(found(""), Ok((0, 0, vec![10])));
        assert_eq!(found("root"), Ok((0, 0, vec![10])));
        assert_eq!(found("app"), Ok((1000, 100, vec![10, 29])));
        assert_eq!(found("1000"), Ok((1000, 100, vec![10, 29])));
        assert_eq!(found("app:wheel"), Ok((1000, 10, vec![])));
        assert_eq!(found("app:77"), Ok((1000, 77, vec![])));
        assert_eq!(found("5:6"), Ok((5, 6, vec![])));
        assert_eq!(found("5"), Ok((5, 0, vec![])));
        assert_eq!(found(":users"), Ok((0, 100, vec![])));
        assert_eq!(found("7"), Ok((1007, 107, vec![])), "a name of digits wins");
        assert_eq!(
            resolve_in(&PASSWD, &GROUP, "app").unwrap().home.as_deref(),
            Some("/home/app")
        );
    }

    #[test]
    fn h19_absurd_users_are_refused() {
        for text in [
            "4294967296",
            "4294967295",
            "-1",
            "a\nb",
            "root:-1",
            "root:4294967296",
            "a:b:c",
            " ",
        ] {
            assert!(
                matches!(found(text), Err(UserError::Malformed(_))),
                "{text:?}"
            );
        }
        assert_eq!(found("ghost"), Err(UserError::NoUser("ghost".into())));
        assert_eq!(found("evil"), Err(UserError::NoUser("evil".into())));
        assert_eq!(
            found("app:ghosts"),
            Err(UserError::NoGroup("ghosts".into()))
        );
    }
}
