//! `eval` on files.

use files::write_atomic;
use serde_json::{Value, json};
use std::ffi::OsString;

/// `eval` of a file of `bytes`; an error with `~` for its folder.
fn eval(bytes: &[u8]) -> Result<Value, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("counts.csv");
    write_atomic(&path, bytes).unwrap();
    let json = crowd_counting::eval(&[path.into()])
        .map_err(|error| format!("{error:#}").replace(&folder.path().display().to_string(), "~"))?;
    Ok(serde_json::from_str(&json).unwrap())
}

#[test]
fn a_file_is_scored() {
    let report = eval(b"truth,prediction\n10,12\n0,1\n20,15\n4,4\n").unwrap();
    let expected = json!({
        "images": 4,
        "mae": 2.0,
        "rmse": 7.5_f64.sqrt(),
        "nae": (0.2 + 0.25) / 3.0,
        "bias": -0.5,
        "ranges": [
            {"count": "0", "images": 1, "mae": 1.0},
            {"count": "1-9", "images": 1, "mae": 0.0},
            {"count": "10-29", "images": 2, "mae": 3.5}
        ]
    });
    assert_eq!(report, expected);
    // Without people, there is nothing to normalize with.
    assert_eq!(eval(b"truth,prediction\n0,1").unwrap()["nae"], Value::Null);
}

#[test]
fn however_the_file_is_written() {
    let expected = eval(b"truth,prediction\n10,12\n3.5,-0.25\n").unwrap();
    for file in [
        "truth,prediction\n10,12\n3.5,-0.25",
        "truth,prediction\r\n10,12\r\n3.5,-0.25\r\n",
        "\u{feff}truth,prediction\n10,12\n3.5,-0.25\n",
        "\u{feff}\"truth\",\"prediction\"\r\n\"10\",\"12\"\r\n3.5,-0.25\r\n",
        "image,prediction,model,truth\na.jpg,12,csrnet,10\n\"b, c.jpg\",-0.25,,3.5\n",
        " truth ,\tprediction\n 10, 12\n 3.5 ,-2.5e-1\n",
        "truth,prediction\n\n10,12\n\n3.5,-0.25\n\n",
    ] {
        assert_eq!(eval(file.as_bytes()), Ok(expected.clone()), "{file:?}");
    }
}

#[test]
fn mistakes_are_named_with_their_line() {
    for (file, expected) in [
        ("truth,count\n1,2\n", "~/counts.csv: expected a column `prediction` in the first line, found `truth,count`"),
        ("1,2\n3,4\n", "~/counts.csv: expected a column `truth` in the first line, found `1,2`"),
        ("", "~/counts.csv: expected a column `truth` in the first line, found ``"),
        ("truth,prediction\n", "~/counts.csv: expected a line for each image after the first line, found none"),
        (
            "truth,prediction\n1,2\n3,many\n",
            "~/counts.csv: line 3: expected a number in column `prediction`, found `many`",
        ),
        (
            "truth,prediction,prediction\n10,12,99\n",
            "~/counts.csv: expected one column `prediction` in the first line, found several in `truth,prediction,prediction`",
        ),
        (
            "truth,image,truth,prediction\n10,a,12,99\n",
            "~/counts.csv: expected one column `truth` in the first line, found several in `truth,image,truth,prediction`",
        ),
        (
            "truth;prediction\n10;12,5\n",
            "~/counts.csv: expected a column `truth` in the first line, found `truth;prediction`\n  hint: separate the columns by \
             commas",
        ),
        ("truth,prediction\n1,2\n,4\n", "~/counts.csv: line 3: expected a number in column `truth`, found ``"),
        ("truth,prediction\n1,NaN\n", "~/counts.csv: line 2: expected a number in column `prediction`, found `NaN`"),
        ("truth,prediction\ninf,1\n", "~/counts.csv: line 2: expected a number in column `truth`, found `inf`"),
        (
            "truth,prediction\n1,2\n-3,4\n",
            "~/counts.csv: line 3: expected a number of at least 0 in column `truth`, found -3",
        ),
        (
            "truth,prediction\n1,2\n3\n",
            "~/counts.csv: line 3: expected 2 values, one a column of the first line; found 1",
        ),
        // Lines are those that an editor shows.
        ("truth,prediction\r\n1,2\r\n3,many\r\n", "~/counts.csv: line 3: expected a number"),
        ("truth,prediction\n\n\n3,many\n", "~/counts.csv: line 4: expected a number"),
        ("truth,prediction\r\n\r\n1,2\r\n\r\n3,many\r\n", "~/counts.csv: line 5: expected a number"),
        ("\u{feff}truth,prediction\n1,2\n3,many\n", "~/counts.csv: line 3: expected a number"),
        ("\u{feff}truth,prediction\r\n1,2\r\n3,many\r\n", "~/counts.csv: line 3: expected a number"),
        ("name,truth,prediction\n\"a\nb\",1,2\nc,1,many\n", "~/counts.csv: line 4: expected a number"),
    ] {
        let message = eval(file.as_bytes()).unwrap_err();
        assert!(message.contains(expected), "{file:?}: {message}");
    }
    let message = eval(b"truth,prediction\n1,\xff\n").unwrap_err();
    assert!(
        message.starts_with("~/counts.csv: line 2, byte 19: expected text in UTF-8, found the byte 0xff\n"),
        "{message}"
    );
    let wide: Vec<u8> = "truth,prediction\r\n10,12\r\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    assert_eq!(eval(&[b"\xff\xfe", wide.as_slice()].concat()), eval(b"truth,prediction\n10,12\n"));
    let message = eval(&wide).unwrap_err();
    let expected = "~/counts.csv: expected text in UTF-8, found UTF-16 without a byte order mark\n  hint: ";
    assert!(message.starts_with(expected), "{message}");
    // A column that is not read may come twice.
    assert!(eval(b"name,truth,name,prediction\na,1,b,2\n").is_ok());
}

#[test]
fn a_missing_file_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("counts.csv");
    let message = crowd_counting::eval(&[path.clone().into()]).unwrap_err().to_string();
    assert!(message.contains(&format!("cannot read {}: ", path.display())), "{message}");
}

#[test]
fn help_and_wrong_arguments_are_for_the_command_line() {
    let answer = |arguments: &[&str]| {
        let arguments: Vec<OsString> = arguments.iter().map(OsString::from).collect();
        crowd_counting::eval(&arguments).unwrap_err().downcast::<clap::Error>().unwrap()
    };
    let help = answer(&["--help"]);
    assert_eq!((help.kind(), help.exit_code()), (clap::error::ErrorKind::DisplayHelp, 0));
    let text = help.to_string();
    for expected in ["Usage: cargo xtask eval crowd-counting <FILE>", "`truth`", "`prediction`", "`rmse` is what"] {
        assert!(text.contains(expected), "{text}");
    }
    for arguments in [&[][..], &["a.csv", "b.csv"], &["--classes", "3"]] {
        assert_eq!(answer(arguments).exit_code(), 2);
    }
}
