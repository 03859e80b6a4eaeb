//! What can go wrong, by kind: front ends derive exit codes and statuses from the kind, never from words.

use ctr_state::{Denied, StoreError};

/// The kinds of failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// There is no such object.
    NotFound,
    /// A name is taken, or the object is being changed by somebody else.
    Conflict,
    /// The object is not in a state in which this can be done.
    Denied,
    /// Others depend on the object.
    InUse,
    /// The request makes no sense.
    Invalid,
    /// The program to run in the container is not there.
    ProgramNotFound,
    /// The program to run in the container cannot be executed.
    ProgramNotExecutable,
    /// The kernel, the runtime or the disk said no.
    System,
    /// Something stored is damaged.
    Damaged,
}

/// A failure of the engine. The chain of [`source`](std::error::Error::source)s tells the causes.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A call to the kernel.
    #[error(transparent)]
    Sys(#[from] ctr_sys::SysError),
    /// A lock.
    #[error(transparent)]
    Lock(#[from] ctr_sys::lock::LockError),
    /// The runtime.
    #[error(transparent)]
    Runtime(#[from] ctr_oci::runtime::RuntimeError),
    /// The monitor.
    #[error("container {name}")]
    Monitor {
        /// The container.
        name: String,
        /// What its monitor said.
        source: ctr_monitor::client::ClientError,
    },
    /// A program that the engine needs cannot be run.
    #[error(transparent)]
    Child(#[from] ctr_sys::child::ChildError),
    /// The network.
    #[error(transparent)]
    Network(#[from] ctr_net::NetworkError),
    /// The root file system.
    #[error("image {image}")]
    RootFs {
        /// The image.
        image: String,
        /// What is wrong with it.
        source: ctr_oci::rootfs::RootfsError,
    },
    /// The user.
    #[error("image {image}")]
    User {
        /// The image.
        image: String,
        /// What is wrong with it.
        source: ctr_oci::user::UserError,
    },
    /// A configuration breaks a rule.
    #[error(transparent)]
    Config(#[from] ctr_types::config::ConfigError),
    /// An SELinux label option.
    #[error(transparent)]
    Label(#[from] ctr_oci::selinux::LabelError),
    /// A container whose namespaces are shared does not run.
    #[error("container {0}, whose namespaces are shared, does not run: start it first")]
    DependencyDown(String),
    /// The spec.
    #[error(transparent)]
    Spec(#[from] ctr_oci::spec::SpecError),
    /// The seccomp profile.
    #[error(transparent)]
    Seccomp(#[from] ctr_oci::seccomp::SeccompError),
    /// An image, archive or reference.
    #[error(transparent)]
    Image(#[from] crate::image::ImageError),
    /// No random bytes for an id.
    #[error(transparent)]
    Id(#[from] ctr_types::IdError),
    /// The container's state does not allow it.
    #[error("container {name}")]
    Denied {
        /// The container.
        name: String,
        /// Why.
        source: Denied,
    },
    /// The request makes no sense.
    #[error("{0}")]
    Invalid(String),
    /// The program is not in the container.
    #[error(
        "container {name}: program {program:?} not found in the image: check the command, or its PATH"
    )]
    ProgramNotFound {
        /// The container.
        name: String,
        /// The program.
        program: String,
    },
    /// The program cannot be executed.
    #[error(
        "container {name}: program {program:?} cannot be executed: permission denied or not a program"
    )]
    ProgramNotExecutable {
        /// The container.
        name: String,
        /// The program.
        program: String,
    },
    /// The runtime could not make or start the container.
    #[error("container {name}: the runtime failed: {complaint}")]
    Create {
        /// The container.
        name: String,
        /// What it said.
        complaint: String,
    },
    /// With `strict`, what the host cannot do is an error.
    #[error("this host cannot do all that was asked for: {0}")]
    Degraded(String),
    /// Its files cannot be read as an archive.
    #[error(transparent)]
    Export(#[from] ctr_storage::archive::ExportError),
    /// Files cannot be copied.
    #[error(transparent)]
    Transfer(#[from] ctr_storage::archive::TransferError),
    /// An archive cannot be unpacked.
    #[error(transparent)]
    Apply(#[from] ctr_storage::archive::ApplyError),
    /// There is no such exec.
    #[error("no such exec session: {0}")]
    NoSession(String),
    /// No user has mounted it.
    #[error("container {0} is not mounted by a user: there is nothing to unmount")]
    NotMounted(String),
    /// The container is gone.
    #[error("container {0} has been removed")]
    Gone(String),
    /// It did not happen in time.
    #[error("{what} did not happen within {limit:?}")]
    Timeout {
        /// What.
        what: String,
        /// The limit.
        limit: std::time::Duration,
    },
    /// Several things failed; the first is the main one.
    #[error("{first}; then {}", rest.iter().map(ToString::to_string).collect::<Vec<_>>().join("; then "))]
    Several {
        /// The main one.
        #[source]
        first: Box<EngineError>,
        /// The others.
        rest: Vec<EngineError>,
    },
    /// A test asked for this failure.
    #[cfg(feature = "failpoints")]
    #[error("injected failure at {0}")]
    Injected(String),
}

impl EngineError {
    /// What kind of failure it is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Store(error) => store_kind(error),
            Self::Sys(_)
            | Self::Export(_)
            | Self::Transfer(_)
            | Self::Apply(_)
            | Self::Child(_)
            | Self::Network(_)
            | Self::Runtime(_) => ErrorKind::System,
            Self::Lock(_) => ErrorKind::Conflict,
            Self::Monitor { .. } | Self::Create { .. } | Self::Timeout { .. } => ErrorKind::System,
            Self::RootFs { .. }
            | Self::User { .. }
            | Self::Spec(_)
            | Self::Config(_)
            | Self::Label(_)
            | Self::Seccomp(_)
            | Self::Invalid(_)
            | Self::Degraded(_) => ErrorKind::Invalid,
            Self::Image(error) => error.kind(),
            Self::Id(_) => ErrorKind::System,
            Self::Denied { .. } | Self::DependencyDown(_) | Self::NotMounted(_) => {
                ErrorKind::Denied
            }
            Self::ProgramNotFound { .. } => ErrorKind::ProgramNotFound,
            Self::ProgramNotExecutable { .. } => ErrorKind::ProgramNotExecutable,
            Self::Gone(_) | Self::NoSession(_) => ErrorKind::NotFound,
            Self::Several { first, .. } => first.kind(),
            #[cfg(feature = "failpoints")]
            Self::Injected(_) => ErrorKind::System,
        }
    }

    /// One error out of those of a teardown that went on past each of them; none is success.
    pub(crate) fn collect(errors: Vec<Self>) -> Result<(), Self> {
        let mut errors = errors.into_iter();
        let Some(first) = errors.next() else {
            return Ok(());
        };
        let rest: Vec<Self> = errors.collect();
        if rest.is_empty() {
            Err(first)
        } else {
            Err(Self::Several {
                first: Box::new(first),
                rest,
            })
        }
    }
}

fn store_kind(error: &StoreError) -> ErrorKind {
    if matches!(error, StoreError::NotFound { .. } | StoreError::Removed(_)) {
        ErrorKind::NotFound
    } else if matches!(
        error,
        StoreError::NameInUse { .. }
            | StoreError::Superseded(_)
            | StoreError::DependencyRemoving(_)
    ) {
        ErrorKind::Conflict
    } else if matches!(
        error,
        StoreError::ImageInUse { .. }
            | StoreError::LayerInUse(_)
            | StoreError::HasDependents { .. }
    ) {
        ErrorKind::InUse
    } else if matches!(error, StoreError::Ambiguous { .. }) {
        ErrorKind::Invalid
    } else if error.is_damage() {
        ErrorKind::Damaged
    } else {
        ErrorKind::System
    }
}
