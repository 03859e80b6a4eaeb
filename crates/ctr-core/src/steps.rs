//! Operations as lists of named steps: what the journal knows, what `--log-level debug` prints, and where tests let the
//! engine fail or die.
//!
//! A plan is made by a pure function; [`Engine::run`](crate::Engine) carries it out step by step. The names of all steps of
//! all plans are the fault points, `OPERATION.STEP`, and [`all_points`] lists them so that a test can say that it has been
//! at every one.

use std::time::{Duration, Instant};

use crate::EngineError;

/// A step of an operation.
pub(crate) trait Step: Copy {
    /// `OPERATION.STEP`.
    fn name(self) -> &'static str;
}

macro_rules! steps {
    ($(#[$doc:meta])* $enum:ident $operation:literal { $($(#[$step_doc:meta])* $step:ident = $name:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum $enum {
            $($(#[$step_doc])* $step,)+
        }

        impl $enum {
            pub(crate) const ALL: &'static [Self] = &[$(Self::$step,)+];
        }

        impl Step for $enum {
            fn name(self) -> &'static str {
                match self {
                    $(Self::$step => concat!($operation, ".", $name),)+
                }
            }
        }
    };
}

steps! {
    /// Making a container: from a name to a directory.
    CreateStep "create" {
        /// Row, name and journal entry, in one transaction.
        Claim = "claim",
        /// The durable directory and those of the overlay.
        MakeDirectories = "directories",
        /// The record from which a lost database is rebuilt.
        WriteRecord = "record",
        /// The operation is over.
        Finish = "finish",
    }
}

steps! {
    /// From Configured, Stopped or Exited to Created.
    InitStep "init" {
        /// Journal entry and "up in this boot", in one transaction.
        Claim = "claim",
        /// The directory of this boot, without the last run's exit record.
        MakeRunDirectory = "run-directory",
        /// The overlay.
        Mount = "mount",
        /// The network namespace.
        Network = "network",
        /// resolv.conf, hosts, hostname.
        WriteEtc = "etc",
        /// The runtime's bundle.
        WriteBundle = "bundle",
        /// The monitor, which runs the runtime.
        SpawnMonitor = "monitor",
        /// The monitor may live on without the engine.
        Commit = "commit",
        /// The operation is over.
        Finish = "finish",
    }
}

steps! {
    /// From Created to Running.
    StartStep "start" {
        /// The monitor starts the program.
        Start = "start",
        /// The event.
        Record = "record",
    }
}

steps! {
    /// From Running to ended.
    StopStep "stop" {
        /// The monitor sends the signal and minds the time.
        Request = "request",
        /// Until it has ended.
        Await = "await",
    }
}

steps! {
    /// From Stopped or Created to Exited or Configured: everything of this boot is given back.
    CleanupStep "cleanup" {
        /// Journal entry.
        Claim = "claim",
        /// Monitor and processes.
        KillProcesses = "processes",
        /// The runtime's state.
        DeleteRuntime = "runtime",
        /// The cgroup.
        RemoveCgroup = "cgroup",
        /// The network namespace.
        RemoveNetwork = "network",
        /// The overlay.
        Unmount = "unmount",
        /// How it ended.
        Record = "record",
        /// The directory of this boot.
        RemoveRunDirectory = "run-directory",
        /// The operation is over.
        Finish = "finish",
    }
}

steps! {
    /// Removing a container.
    RemoveStep "remove" {
        /// "Removing" and the journal entry, in one transaction.
        Claim = "claim",
        /// Monitor and processes.
        KillProcesses = "processes",
        /// The runtime's state.
        DeleteRuntime = "runtime",
        /// The cgroup.
        RemoveCgroup = "cgroup",
        /// The network namespace.
        RemoveNetwork = "network",
        /// The overlay.
        Unmount = "unmount",
        /// The directory of this boot.
        RemoveRunDirectory = "run-directory",
        /// The durable directory goes to the trash.
        Trash = "trash",
        /// Row and name.
        DeleteRow = "row",
        /// What is in the trash.
        EmptyTrash = "empty-trash",
        /// The operation is over.
        Finish = "finish",
    }
}

steps! {
    /// Having a container's file system mounted for a while: export, commit, cp.
    ReadStep "read" {
        /// Journal entry.
        Claim = "claim",
        /// The overlay, held for this operation.
        Mount = "mount",
        /// Lets it go.
        Release = "release",
        /// The operation is over.
        Finish = "finish",
    }
}

steps! {
    /// Replacing a configuration: rename, update.
    ReplaceStep "replace" {
        /// The configuration, its name and the journal entry, in one transaction.
        Claim = "claim",
        /// The limits of a container that is up.
        Limit = "limit",
        /// The copy from which a lost database is rebuilt.
        WriteRecord = "record",
        /// The operation is over.
        Finish = "finish",
    }
}

steps! {
    /// Bringing an image in.
    ImportStep "import" {
        /// Journal entry.
        Claim = "claim",
        /// The staging directory.
        MakeStaging = "staging",
        /// Blobs and unpacked layers, in the staging directory.
        Unpack = "unpack",
        /// Everything unpacked reaches the disk.
        Sync = "sync",
        /// Blobs and layers get their names.
        Publish = "publish",
        /// Image, layers and names, in one transaction.
        Record = "record",
        /// The OCI layout's index.
        WriteIndex = "index",
        /// The staging directory.
        RemoveStaging = "remove-staging",
        /// The operation is over.
        Finish = "finish",
    }
}

steps! {
    /// Removing an image.
    RemoveImageStep "rmi" {
        /// Names, image and layers without an image, and the journal entry, in one transaction.
        Claim = "claim",
        /// Layers and blobs go to the trash.
        Trash = "trash",
        /// The OCI layout's index.
        WriteIndex = "index",
        /// What is in the trash.
        EmptyTrash = "empty-trash",
        /// The operation is over.
        Finish = "finish",
    }
}

/// The names of all fault points.
pub fn all_points() -> Vec<&'static str> {
    fn names<S: Step>(steps: &[S]) -> impl Iterator<Item = &'static str> {
        steps.iter().map(|step| step.name())
    }
    names(CreateStep::ALL)
        .chain(names(InitStep::ALL))
        .chain(names(StartStep::ALL))
        .chain(names(StopStep::ALL))
        .chain(names(CleanupStep::ALL))
        .chain(names(RemoveStep::ALL))
        .chain(names(ReadStep::ALL))
        .chain(names(ReplaceStep::ALL))
        .chain(names(ImportStep::ALL))
        .chain(names(RemoveImageStep::ALL))
        .collect()
}

/// Told of every step when it is done.
pub type Observer = fn(step: &str, took: Duration);

/// What happens at the steps besides the steps: observation, and injected faults.
#[derive(Clone, Debug, Default)]
pub struct StepHooks {
    /// Told of every step.
    pub observer: Option<Observer>,
    /// `STEP=kill@before`, `STEP=kill@after` or `STEP=error`.
    #[cfg(feature = "failpoints")]
    pub fail: Option<String>,
}

impl StepHooks {
    /// Carries steps out, in order, up to the first that fails.
    pub(crate) fn run<S: Step>(
        &self,
        steps: &[S],
        mut perform: impl FnMut(S) -> Result<(), EngineError>,
    ) -> Result<(), EngineError> {
        for step in steps {
            let started = Instant::now();
            #[cfg(feature = "failpoints")]
            self.fail_at(step.name(), "kill@before")?;
            #[cfg(feature = "failpoints")]
            self.fail_at(step.name(), "error")?;
            perform(*step)?;
            #[cfg(feature = "failpoints")]
            self.fail_at(step.name(), "kill@after")?;
            if let Some(observer) = self.observer {
                observer(step.name(), started.elapsed());
            }
        }
        Ok(())
    }

    #[cfg(feature = "failpoints")]
    fn fail_at(&self, name: &str, how: &str) -> Result<(), EngineError> {
        let Some((step, wanted)) = self.fail.as_deref().and_then(|fail| fail.split_once('='))
        else {
            return Ok(());
        };
        if (step, wanted) != (name, how) {
            return Ok(());
        }
        if how == "error" {
            return Err(EngineError::Injected(name.to_owned()));
        }
        // kill -9, as the kernel, an impatient user or a power cut does it: nothing of this process runs any more.
        let itself = rustix::process::getpid();
        let _dead = rustix::process::kill_process(itself, rustix::process::Signal::KILL);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fault_points_have_distinct_names() {
        let mut names = all_points();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
        assert!(names.contains(&"create.claim") && names.contains(&"import.publish"));
    }
}
