//! Unpacks the tars given, mounts them over each other, writes a file and prints what that took. Needs root.

use std::os::fd::AsFd as _;
use std::path::PathBuf;

use ctr_storage::archive::{apply, apply::Limits};
use ctr_storage::overlay::ContainerFs;
use ctr_storage::size::size_of;

#[expect(clippy::print_stdout, reason = "an example shows its result")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let directory = tempfile::tempdir()?;
    let mut layers = Vec::new();
    for (number, tar) in std::env::args_os().skip(1).enumerate() {
        let layer: PathBuf = directory.path().join(format!("layer{number}"));
        std::fs::create_dir(&layer)?;
        let root = ctr_sys::fs::open_directory(&layer)?;
        let applied = apply(std::fs::File::open(&tar)?, root.as_fd(), &Limits::default())?;
        println!(
            "{}: {} entries, {} bytes",
            tar.display(),
            applied.entries,
            applied.size
        );
        layers.push(layer);
    }
    let fs = ContainerFs::new(directory.path(), &directory.path().join("run"));
    fs.prepare()?;
    fs.hold("example", &layers)?;
    let written = std::fs::File::create(fs.merged().join("written")).map(drop);
    fs.release("example")?;
    written?;
    println!("changes: {:?}", size_of(&fs.upper())?);
    Ok(())
}
