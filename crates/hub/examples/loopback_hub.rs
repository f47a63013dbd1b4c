//! A hub on this machine that serves a folder, and misbehaves where it is told to; see the README beside this folder.
#![allow(clippy::unwrap_used, reason = "the module is the tests'")]

#[path = "../tests/fetch/loopback.rs"]
mod loopback;

use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use loopback::{Fault, Loopback};

/// Serves DIR/<owner>/<name>/… as data sets <owner>/<name> of a hub
#[derive(Parser)]
struct Arguments {
    /// Folder of the data sets
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// What goes wrong with a path of a repository, with `revision` or with `tree`: cut:BYTES, stall:BYTES, ignore-range,
    /// wrong-bytes, wrong-range, wrong-length:BYTES, close, or a status such as 503 or 429:SECONDS; may be given several
    /// times, and every one holds for one request, or for TIMES
    #[arg(long = "fault", value_name = "[TIMES*]FAULT=PATH", value_parser = fault)]
    faults: Vec<(String, Fault, u32)>,
    /// Let in only those who have this token
    #[arg(long)]
    token: Option<String>,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let hub = Loopback::start(&arguments.folder, arguments.token.as_deref(), 1000)?;
    for (what, fault, times) in &arguments.faults {
        hub.fault(what, fault.clone(), *times);
    }
    println!("export HF_ENDPOINT={}", hub.endpoint());
    let mut shown = 0;
    loop {
        let requests = hub.requests();
        for request in requests.iter().skip(shown) {
            let from = request.from.map_or_else(String::new, |from| format!(" from byte {from}"));
            eprintln!("{} {}{from}", request.method, request.target);
        }
        shown = requests.len();
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn fault(text: &str) -> Result<(String, Fault, u32), String> {
    let (fault, what) = text.split_once('=').ok_or("expected FAULT=PATH, such as cut:1000=data/train.parquet")?;
    let (times, fault) = fault.split_once('*').unwrap_or(("1", fault));
    let times = times.parse().map_err(|_| format!("expected a number of times, found {times:?}"))?;
    let (name, value) = fault.split_once(':').map_or((fault, None), |(name, value)| (name, Some(value)));
    let number = |default: i64| match value {
        None => Ok(default),
        Some(value) => value.parse().map_err(|_| format!("expected a number after `{name}:`, found {value:?}")),
    };
    let bytes = || number(0).map(i64::unsigned_abs);
    let fault = match name {
        "cut" => Fault::Cut(bytes()?),
        "stall" => Fault::Stall(bytes()?),
        "ignore-range" => Fault::IgnoreRange,
        "wrong-bytes" => Fault::WrongBytes,
        "wrong-range" => Fault::WrongRange,
        "wrong-length" => Fault::WrongLength(number(1)?),
        "close" => Fault::Close,
        status => {
            let known = status.parse().ok().filter(|status| (400..600).contains(status));
            let status = known.ok_or_else(|| format!("expected a fault, found {status:?}; see --help"))?;
            Fault::Status(status, value.map(str::to_owned))
        }
    };
    Ok((what.to_owned(), fault, times))
}
