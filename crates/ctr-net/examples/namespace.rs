//! Makes a network namespace in the directory given, lists its interfaces and lets it go. Needs root.

use std::path::PathBuf;

fn main() -> Result<(), ctr_net::NetworkError> {
    let directory = std::env::args_os()
        .nth(1)
        .map_or_else(std::env::temp_dir, PathBuf::from);
    let namespace = ctr_net::NetworkNamespace::of(&directory);
    namespace.create()?;
    let names = namespace.interfaces();
    namespace.ensure_absent()?;
    #[expect(clippy::print_stdout, reason = "an example shows its result")]
    {
        println!("{}: {}", namespace.path().display(), names?.join(" "));
    }
    Ok(())
}
