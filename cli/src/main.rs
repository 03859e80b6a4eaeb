//! The `ctrs` program.
fn main() {}
