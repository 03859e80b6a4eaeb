//! Container images as data, from whoever made them: nothing in them is believed before it is checked.
//!
//! | module | what |
//! |---|---|
//! | [`mod@reference`] | names of images, as people write and the store keeps them |
//! | [`blobs`] | content-addressed blobs in an OCI image layout |
//! | [`compression`] | layers: one pass gives the blob, both digests and the tar |
//! | [`config`] | an image's configuration: read with limits, made for an import |
//! | [`manifest`] | OCI and docker manifests and indexes |
//! | [`archive`] | what `docker save` and `skopeo copy oci-archive:` write |
#![forbid(unsafe_code)]

pub mod archive;
pub mod blobs;
pub mod compression;
pub mod config;
pub mod manifest;
pub mod reference;
