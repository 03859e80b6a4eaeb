//! Capabilities (capabilities(7)): podman's default set, with what the user adds and drops.

use oci_spec::runtime::{Capabilities, Capability};

use crate::host::ALL_CAPABILITIES;

/// A name that is no capability.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown capability {0:?}: use a name such as NET_ADMIN, or ALL")]
pub struct CapabilityError(pub String);

/// What a container gets when nothing is said (containers/common, `default_capabilities`).
const DEFAULT: [Capability; 11] = [
    Capability::Chown,
    Capability::DacOverride,
    Capability::Fowner,
    Capability::Fsetid,
    Capability::Kill,
    Capability::NetBindService,
    Capability::Setfcap,
    Capability::Setgid,
    Capability::Setpcap,
    Capability::Setuid,
    Capability::SysChroot,
];

enum Named {
    All,
    One(Capability),
}

fn parse(name: &str) -> Result<Named, CapabilityError> {
    let upper = name.to_ascii_uppercase();
    if upper == "ALL" {
        return Ok(Named::All);
    }
    let short = upper.strip_prefix("CAP_").unwrap_or(&upper);
    ALL_CAPABILITIES
        .into_iter()
        .find(|known| {
            let known = known.to_string();
            known.strip_prefix("CAP_").unwrap_or(&known) == short
        })
        .map(Named::One)
        .ok_or_else(|| CapabilityError(name.chars().take(40).collect()))
}

/// The set after additions and drops; `ALL` in either list goes first, so that `--cap-drop ALL --cap-add X` is X alone
/// and `--cap-add ALL --cap-drop X` is all but X, as in podman and docker.
///
/// # Errors
/// [`CapabilityError`] with the unknown name.
pub fn capabilities(add: &[String], drop: &[String]) -> Result<Capabilities, CapabilityError> {
    let add: Vec<Named> = add
        .iter()
        .map(|name| parse(name))
        .collect::<Result<_, _>>()?;
    let drop: Vec<Named> = drop
        .iter()
        .map(|name| parse(name))
        .collect::<Result<_, _>>()?;
    let has_all = |list: &[Named]| list.iter().any(|named| matches!(named, Named::All));
    let mut set: Capabilities = match (has_all(&add), has_all(&drop)) {
        (true, _) => ALL_CAPABILITIES.into_iter().collect(),
        (false, true) => Capabilities::new(),
        (false, false) => DEFAULT.into_iter().collect(),
    };
    if !has_all(&drop) {
        for named in &drop {
            if let Named::One(capability) = named {
                set.remove(capability);
            }
        }
    }
    for named in &add {
        if let Named::One(capability) = named {
            set.insert(*capability);
        }
    }
    Ok(set)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(add: &[&str], drop: &[&str]) -> Vec<Capability> {
        let own = |list: &[&str]| {
            list.iter()
                .map(|name| (*name).to_owned())
                .collect::<Vec<_>>()
        };
        let set = capabilities(&own(add), &own(drop)).unwrap();
        ALL_CAPABILITIES
            .into_iter()
            .filter(|one| set.contains(one))
            .collect()
    }

    #[test]
    fn additions_and_drops_combine_as_in_podman() {
        assert_eq!(set(&[], &[]).len(), 11);
        assert_eq!(set(&["net_admin"], &[]).len(), 12);
        assert_eq!(set(&["CAP_CHOWN"], &["all"]), [Capability::Chown]);
        assert_eq!(set(&["ALL"], &[]).len(), ALL_CAPABILITIES.len());
        assert_eq!(
            set(&["ALL"], &["SYS_ADMIN"]).len(),
            ALL_CAPABILITIES.len() - 1
        );
        assert!(set(&[], &["ALL"]).is_empty());
        assert!(capabilities(&["FROBNICATE".into()], &[]).is_err());
    }
}
