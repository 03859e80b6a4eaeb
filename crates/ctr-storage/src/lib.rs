//! Layers, overlay mounts and safe unpacking.
#![forbid(unsafe_code)]
