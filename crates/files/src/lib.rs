//! The one writer of files, and what every tool of the workspace writes alike: tables as text, hexadecimal, near names.

mod fs;
mod hex;
mod near;
mod table;

pub use fs::*;
pub use hex::hex;
pub use near::did_you_mean;
pub use table::plain;
