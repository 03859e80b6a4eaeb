//! Prints the system call filter of a container with the default capabilities and those named, as an OCI runtime takes it:
//! `cargo run -p ctr-oci --example seccomp -- SYS_ADMIN`
#![expect(clippy::print_stdout, reason = "an example")]

use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    let added: Vec<String> = std::env::args().skip(1).collect();
    let capabilities = ctr_oci::spec::capabilities(&added, &[])?;
    let profile = ctr_oci::seccomp::default_profile(&capabilities)?;
    println!("{}", serde_json::to_string_pretty(&profile)?);
    Ok(())
}
