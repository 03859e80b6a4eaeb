//! Layers on disk.
//!
//! | module | what |
//! |---|---|
//! | [`archive`] | unpacks a layer's tar into a directory, whatever its author intended |
//! | [`layer`] | unpacked layers by diff id, made in staging and renamed into place |
//! | [`overlay`] | a container's file system: layers below, its own changes above |
//! | [`size`] | what a directory takes |
#![forbid(unsafe_code)]

pub mod archive;
pub mod layer;
pub mod overlay;
pub mod size;
