//! Reports as one HTML page, as a browser shows it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use serde_json::Value;
use std::path::Path;
use std::process::{Command, Output};

/// Collects whatever goes wrong on a page, before anything else runs there.
const WATCH: &str = r#"<script nonce="test">
window.problems = [];
addEventListener("error", (event) => problems.push(`error: ${event.message}`), true);
addEventListener("unhandledrejection", (event) => problems.push(`rejection: ${event.reason}`));
document.addEventListener("securitypolicyviolation", (event) =>
  problems.push(`violation: ${event.violatedDirective} ${event.blockedURI}`));
for (const name of ["error", "warn"]) console[name] = (...words) => problems.push(`console: ${words.join(" ")}`);
</script>"#;

/// Uses the page as a reader would, and leaves what was seen as JSON.
const READER: &str = include_str!("html/reader.js");

fn xtask(arguments: &[&str]) -> Output {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    Command::new(env!("CARGO_BIN_EXE_xtask")).args(arguments).current_dir(root).output().unwrap()
}

/// The page of the reports `names` of this repository.
fn page(names: &[&str]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("page.html");
    let output = xtask(&[&["report"], names, &["--html", file.to_str().unwrap()]].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    std::fs::read_to_string(&file).unwrap()
}

#[test]
fn a_file_that_cannot_be_written_is_said_so() {
    let folder = tempfile::tempdir().unwrap();
    let inside = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    for (file, found) in [
        (inside("none/page.html"), "found no folder"),
        (inside(""), "found a folder"),
        (inside("classification"), "found another name"),
    ] {
        let output = xtask(&["report", "classification", "--html", &file]);
        let message = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.code() == Some(2) && message.contains(found), "{message}");
        assert!(message.contains("hint: "), "{message}");
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

/// Chromium on `page`, which it may not load anything for; the JSON that a script left there.
fn browse(page: &str, dark: bool, width: u32) -> Value {
    let folder = tempfile::tempdir().unwrap();
    // A window of Chromium's is never as narrow as a phone; a frame can be.
    let frame = format!(
        "<!DOCTYPE html><meta name=\"color-scheme\" content=\"light dark\">\
         <iframe src=\"page.html\" style=\"width: {width}px; height: 800px; border: 0\"></iframe><pre id=\"result\"></pre>\
         <script>addEventListener(\"load\", () => document.querySelector(\"pre\").textContent = \
         document.querySelector(\"iframe\").contentDocument.getElementById(\"result\").textContent)</script>"
    );
    let file = folder.path().join("frame.html");
    files::write_atomic(&folder.path().join("page.html"), page.as_bytes()).unwrap();
    files::write_atomic(&file, frame.as_bytes()).unwrap();
    let output = chromium()
        .args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--disable-quic",
            "--no-first-run",
        ])
        .args(["--disable-background-networking", "--disable-component-update", "--disable-sync"])
        .args(["--host-resolver-rules=MAP * ~NOTFOUND", "--dump-dom"])
        .arg(format!("--user-data-dir={}", folder.path().join("profile").display()))
        .arg(format!("--blink-settings=preferredColorScheme={}", if dark { 0 } else { 1 }))
        .args(["--allow-file-access-from-files", "--window-size=1400,900"])
        .arg(format!("file://{}", file.display()))
        .output()
        .unwrap();
    let document = String::from_utf8_lossy(&output.stdout);
    let result = document.rsplit_once("<pre id=\"result\">").and_then(|(_, rest)| rest.split_once("</pre>"));
    let Some((result, _)) = result else {
        panic!("the script did not end: {} {}", document.len(), String::from_utf8_lossy(&output.stderr))
    };
    let result = result.replace("&lt;", "<").replace("&gt;", ">").replace("&nbsp;", "\u{a0}").replace("&amp;", "&");
    serde_json::from_str(&result).unwrap()
}

/// Chromium, ended where it hangs.
fn chromium() -> Command {
    let mut command = Command::new("timeout");
    command.args(["--kill-after=5", "120", "chromium"]);
    command
}

/// `page` with scripts of the test's own, which its policy is told to let run.
fn with_scripts(page: &str, reader: &str) -> String {
    let (head, rest) = page.split_once("<meta name=\"viewport\"").unwrap();
    let head = head.replace("script-src ", "script-src 'nonce-test' ");
    let (body, end) = rest.rsplit_once("</body>").unwrap();
    format!("{head}{WATCH}<meta name=\"viewport\"{body}<script nonce=\"test\">{reader}</script></body>{end}")
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|value| value.as_f64().unwrap_or(f64::NAN)).collect()
}

#[test]
fn a_browser_shows_sorts_and_answers() {
    if !chromium().arg("--version").output().is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: chromium is not installed, so nobody looked at the page");
        return;
    }
    let page = page(&["classification"]);

    // The watch sees what it must not see below.
    let spoilt = page.replace("<main>", "<main onclick=\"x()\"><img src=\"https://example.invalid/a.png\">");
    let tell = r#"addEventListener("load", () => {
        const out = document.createElement("pre");
        out.id = "result";
        out.textContent = JSON.stringify(problems);
        document.body.append(out);
    });"#;
    let problems = browse(&with_scripts(&spoilt, tell), false, 1280).to_string();
    for expected in ["script-src-attr", "img-src https://example.invalid/a.png"] {
        assert!(problems.contains(expected), "{problems}");
    }

    let test = with_scripts(&page, READER);
    let [light, dark] = [(false, 1280), (true, 390)].map(|(dark, width)| {
        let seen = browse(&test, dark, width);
        assert!(seen["dark"] == dark && seen["width"] == width, "{seen}");
        assert_eq!(seen["problems"], serde_json::json!([]));
        assert_eq!(seen["loaded"], serde_json::json!([]), "the page loads something");
        assert_eq!(seen["tooWide"], false, "the page scrolls sideways at {width}");
        assert!(seen["least"]["contrast"].as_f64().unwrap() >= 4.5, "{}", seen["least"]);
        assert!(seen["figures"].as_u64().unwrap() >= 2, "{seen}");

        let [original, up, down, again] = ["original", "up", "down", "again"].map(|key| &seen["sorted"][key]);
        let (rising, falling) = (numbers(&up["numbers"]), numbers(&down["numbers"]));
        assert!(rising.len() > 2 && rising.is_sorted() && rising != falling, "{rising:?}");
        assert!(falling.is_sorted_by(|one, next| one >= next), "{falling:?}");
        assert_eq!(original["rows"], again["rows"]);
        let states = [original, up, down, again].map(|state| state["aria"].as_str());
        assert_eq!(states, [None, Some("ascending"), Some("descending"), None]);
        // Rows of a mixed column that have no number, in both orders.
        let words = [&seen["mixed"]["up"], &seen["mixed"]["down"]];
        for cells in words.map(|cells| cells.as_array().unwrap()) {
            let first = cells.iter().position(Value::is_null).unwrap();
            assert!(first > 0 && cells[first..].iter().all(Value::is_null), "{cells:?}");
        }
        assert_eq!(seen["button"], "BUTTON 0 true");

        let hover = &seen["hover"];
        let shown: Vec<&str> = hover["shown"].as_str().unwrap().lines().collect();
        let [label, x, y] = shown[..] else { panic!("expected a label, what is to the right and what is up: {hover}") };
        let ends_in_digit = |line: &str| line.ends_with(|c: char| c.is_ascii_digit());
        assert!(!label.is_empty() && ends_in_digit(x) && ends_in_digit(y), "{hover}");
        assert_eq!(hover["visible"], true, "{hover}");
        assert_eq!(hover["hit"], true, "the point cannot be pointed at");
        assert_eq!(hover["left"], true, "the values stay when the pointer left");
        assert_ne!(hover["key"], hover["shown"]);
        assert_eq!(hover["escaped"], true);
        seen
    });
    assert_ne!(light["background"], dark["background"]);
    assert_eq!(light["switched"], dark["background"], "the button shows the other scheme");
    assert_eq!(dark["switched"], light["background"]);
}
