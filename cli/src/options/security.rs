//! Rights: capabilities, filters, labels, users' groups.

use anyhow::{Context as _, bail};
use clap::Args;
use ctr_core::CreateRequest;
use ctr_core::types::config::Seccomp;

/// Options about rights.
#[derive(Debug, Args)]
pub(crate) struct SecurityOptions {
    /// Add a capability
    #[arg(long, value_name = "CAP", value_delimiter = ',')]
    cap_add: Vec<String>,
    /// Drop a capability
    #[arg(long, value_name = "CAP", value_delimiter = ',')]
    cap_drop: Vec<String>,
    /// All capabilities, nothing hidden
    #[arg(long)]
    privileged: bool,
    /// no-new-privileges, seccomp=unconfined|FILE, apparmor=PROFILE or label=OPTION
    #[arg(long, value_name = "OPTION")]
    security_opt: Vec<String>,
    /// User and group
    #[arg(short, long, value_name = "USER[:GROUP]")]
    user: Option<String>,
    /// One more group of the user
    #[arg(long, value_name = "GROUP")]
    group_add: Vec<String>,
    /// File mode creation mask
    #[arg(long, value_name = "MASK", value_parser = umask)]
    umask: Option<u32>,
}

fn umask(text: &str) -> Result<u32, String> {
    u32::from_str_radix(text, 8).map_err(|_no_number| "use octal digits, such as 0022".into())
}

impl SecurityOptions {
    /// Puts what they ask for into the request.
    pub(super) fn apply(self, request: &mut CreateRequest) -> anyhow::Result<()> {
        for option in &self.security_opt {
            match option.split_once(['=', ':']).unwrap_or((option, "")) {
                ("no-new-privileges", "" | "true") => request.no_new_privileges = true,
                ("no-new-privileges", "false") => request.no_new_privileges = false,
                ("seccomp", "unconfined") => request.seccomp = Seccomp::Unconfined,
                ("seccomp", file) if !file.is_empty() => {
                    let file = std::path::absolute(file)
                        .with_context(|| format!("make {file} absolute"))?;
                    request.seccomp = Seccomp::File(file);
                }
                ("label", label) => request.label_options.push(label.to_owned()),
                ("apparmor", profile) if !profile.is_empty() => {
                    request.apparmor = Some(profile.to_owned());
                }
                _ => bail!(
                    "invalid --security-opt {option:?}: use no-new-privileges, seccomp=unconfined|FILE, apparmor=PROFILE or label=OPTION"
                ),
            }
        }
        request.cap_add = self.cap_add;
        request.cap_drop = self.cap_drop;
        request.privileged = self.privileged;
        request.user = self.user;
        request.groups = self.group_add;
        request.umask = self.umask;
        Ok(())
    }
}
