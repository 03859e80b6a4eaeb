//! Both ways: a tree as a tar stream ([`mod@export`]), and unpacking: a strict streaming tar reader ([`reader`]) and an unpacker ([`mod@apply`]) that never leaves its root.
//!
//! The author of a layer is not trusted (reliability.md, section 1): every path is resolved inside the root by
//! descriptor (openat2(2), `RESOLVE_IN_ROOT`), inodes are replaced and never modified, attributes are set through the
//! descriptor of what was just made, and an ambiguous archive is refused rather than guessed at. Errors name the entry.

pub mod apply;
pub mod export;
pub mod reader;
mod transfer;
mod writer;

pub use apply::{Applied, ApplyError, Limits, Purpose, apply, unpack};
pub use export::{ExportError, ExportOptions, Form, Mounts, export, export_file, export_open_file};
pub use transfer::{TransferError, piped, transfer};
