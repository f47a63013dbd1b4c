//! Hexadecimal digits.

use std::fmt;

/// `bytes` in hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    use fmt::Write;
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        // invariant: writing to a String cannot fail
        let _ = write!(text, "{byte:02x}");
    }
    text
}
