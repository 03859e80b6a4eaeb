//! Prints what a docker or OCI archive holds: `inspect_archive FILE.tar|DIRECTORY`.

use std::path::PathBuf;

use ctr_image::archive::Archive;

#[expect(clippy::print_stdout, reason = "an example shows its result")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = PathBuf::from(
        std::env::args_os()
            .nth(1)
            .ok_or("usage: inspect_archive FILE|DIRECTORY")?,
    );
    let archive = if path.is_dir() {
        Archive::open_directory(&path)?
    } else {
        Archive::open_tar(std::fs::File::open(&path)?)?
    };
    for image in archive.images()? {
        let names: Vec<String> = image.names.iter().map(ToString::to_string).collect();
        println!(
            "{} ({}/{})",
            names.join(" "),
            image.config.os,
            image.config.architecture
        );
        for layer in image.layers {
            println!("  {}", layer.diff_id);
        }
    }
    Ok(())
}
