//! Empty: only the dependencies in `Cargo.toml` matter, and they say why.
