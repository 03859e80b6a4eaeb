//! Layers on disk.
//!
//! | module | what |
//! |---|---|
//! | [`archive`] | unpacks a tar into a directory, whatever its author intended, and writes a tree as one |
//! | [`inside`] | places in a tree that others are changing |
//! | [`diff`] | what a container has changed |
//! | [`layer`] | unpacked layers by diff id, made in staging and renamed into place |
//! | [`overlay`] | a container's file system: layers below, its own changes above |
//! | [`size`] | what a directory takes |
#![forbid(unsafe_code)]

pub mod archive;
pub mod diff;
pub mod inside;
pub mod layer;
pub mod overlay;
pub mod size;
