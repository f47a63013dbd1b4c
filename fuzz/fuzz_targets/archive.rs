//! Archives: zip, tar and tar.gz, and the names of their members.
#![no_main]

libfuzzer_sys::fuzz_target!(|file: &[u8]| {
    if let Ok(Some(name)) = formats::archive::member_name(file) {
        assert!(!name.starts_with('/') && !name.split('/').any(|part| part == ".." || part.is_empty()), "{name:?}");
    }
    let Ok(archive) = formats::archive::Archive::open(Box::new(std::io::Cursor::new(file.to_vec())), &std::env::temp_dir())
    else {
        return;
    };
    for name in archive.names() {
        let _ = archive.read(name);
    }
});
