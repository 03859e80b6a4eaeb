//! Images: references, blobs, archives.
#![forbid(unsafe_code)]
