//! The one writer of files, and what every tool of the workspace writes alike: tables as text, hexadecimal.

mod fs;
mod hex;
mod number;
mod table;

pub use fs::*;
pub use hex::hex;
pub use number::thousands;
pub use table::plain;
