//! SELinux labels of a container (semantics.md T10): the policy's types for containers, with categories of its own, so that
//! one container cannot touch another's files (container-selinux; selinux(8), "Multi-Category Security").

use ctr_types::ContainerId;
use ctr_types::config::SelinuxLabels;

/// How many categories the policies of the distributions have.
const CATEGORIES: u32 = 1024;

/// What is wrong with a label option.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "invalid label {0:?}: use disable, nested, user:USER, role:ROLE, type:TYPE, level:LEVEL or filetype:TYPE"
)]
pub struct LabelError(String);

/// Labels for the container `id`, with what the options (`disable`, `type:…` and so on) change.
///
/// # Errors
/// [`LabelError`] for an option that is none.
pub fn labels(id: &ContainerId, options: &[String]) -> Result<SelinuxLabels, LabelError> {
    let (mut user, mut role, mut kind) = ("system_u", "system_r", "container_t");
    let (mut file_kind, mut level, mut disabled) = ("container_file_t", None, false);
    for option in options {
        match option.split_once(':').unwrap_or((option, "")) {
            ("disable", "") => disabled = true,
            // Nothing of ours hides the file system that nesting needs.
            ("nested", "") => {}
            ("user", value) if !value.is_empty() => user = value,
            ("role", value) if !value.is_empty() => role = value,
            ("type", value) if !value.is_empty() => kind = value,
            ("filetype", value) if !value.is_empty() => file_kind = value,
            ("level", value) if !value.is_empty() => level = Some(value.to_owned()),
            _ => return Err(LabelError(option.clone())),
        }
    }
    if disabled {
        return Ok(SelinuxLabels::default());
    }
    let level = level.unwrap_or_else(|| own_level(id));
    Ok(SelinuxLabels {
        process: Some(format!("{user}:{role}:{kind}:{level}")),
        mount: Some(format!("system_u:object_r:{file_kind}:{level}")),
    })
}

/// Two categories out of the id, which is random: one pair in half a million.
fn own_level(id: &ContainerId) -> String {
    let number = |from: usize| {
        let digits = id.as_str().get(from..from + 7).unwrap_or_default();
        u32::from_str_radix(digits, 16).unwrap_or_default()
    };
    let first = number(0) % CATEGORIES;
    // Any other than the first.
    let second = (first + 1 + number(7) % (CATEGORIES - 1)) % CATEGORIES;
    format!("s0:c{},c{}", first.min(second), first.max(second))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn t10_every_container_has_two_categories_of_its_own() {
        for id in ["0".repeat(64), "f".repeat(64), "0123456789abcdef".repeat(4)] {
            let labels = labels(&id.parse().unwrap(), &[]).unwrap();
            let process = labels.process.unwrap();
            let level = process
                .strip_prefix("system_u:system_r:container_t:s0:c")
                .unwrap();
            let (first, second) = level.split_once(",c").unwrap();
            let (first, second): (u32, u32) = (first.parse().unwrap(), second.parse().unwrap());
            assert!(first < second && second < CATEGORIES, "{process}");
            assert!(labels.mount.unwrap().ends_with(level));
        }
    }

    #[test]
    fn t10_options_change_a_part_each_or_switch_it_off() {
        let id: ContainerId = "a".repeat(64).parse().unwrap();
        let of = |options: &[&str]| {
            let options: Vec<String> = options.iter().map(|one| (*one).to_owned()).collect();
            labels(&id, &options)
        };
        assert_eq!(of(&["disable"]), Ok(SelinuxLabels::default()));
        let changed = of(&[
            "type:spc_t",
            "level:s0:c1",
            "user:u",
            "role:r",
            "filetype:f_t",
        ]);
        let changed = changed.unwrap();
        assert_eq!(changed.process.as_deref(), Some("u:r:spc_t:s0:c1"));
        assert_eq!(
            changed.mount.as_deref(),
            Some("system_u:object_r:f_t:s0:c1")
        );
        for bad in ["", "type:", "kind:x", "disable:x"] {
            assert!(of(&[bad]).is_err(), "{bad}");
        }
    }
}
