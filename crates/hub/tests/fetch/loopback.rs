//! A hub on this machine, for tests and for trying: it serves folders in the routes of the Hugging Face hub, over
//! HTTP/1.1, and misbehaves where it is told to.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::json;
use sha2::{Digest, Sha256};

/// A hub that serves `<folder>/<owner>/<name>/…` as data sets.
pub(crate) struct Loopback {
    address: SocketAddr,
    shared: Arc<Shared>,
}

/// What can go wrong with an answer.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Fault {
    /// The body ends after so many bytes.
    Cut(u64),
    /// Nothing more comes after so many bytes of the body, until [`Loopback::release`].
    Stall(u64),
    /// The whole file is sent, whatever is asked for.
    IgnoreRange,
    /// Every piece of the body has a wrong bit.
    WrongBytes,
    /// The answer is said to be of a range that was not asked for.
    WrongRange,
    /// The length that is said is so many bytes more than the body has.
    WrongLength(i64),
    /// There is no body, but this status, and perhaps a `Retry-After`.
    Status(u16, Option<String>),
    /// The connection is closed without an answer.
    Close,
}

/// A request as it came.
#[derive(Debug, Clone)]
#[allow(dead_code, reason = "the example shows fewer fields than the tests look at")]
pub(crate) struct Request {
    pub(crate) method: String,
    /// Path and query.
    pub(crate) target: String,
    /// The path in the repository, or `revision` or `tree`.
    pub(crate) what: String,
    /// The first byte that is asked for.
    pub(crate) from: Option<u64>,
    pub(crate) authorization: Option<String>,
    pub(crate) at: Instant,
}

struct Shared {
    folder: PathBuf,
    /// The second address, of the files' bytes.
    elsewhere: SocketAddr,
    /// The one who may read, where not everybody may.
    token: Option<String>,
    /// Entries of a page of a list.
    page: usize,
    /// What goes wrong with what, and how many times.
    faults: Mutex<Vec<(String, Fault, u32)>>,
    requests: Mutex<Vec<Request>>,
    released: Mutex<bool>,
    repositories: Mutex<BTreeMap<String, Arc<Repository>>>,
}

struct Repository {
    commit: String,
    files: BTreeMap<String, Stored>,
}

#[derive(Clone)]
struct Stored {
    path: PathBuf,
    size: u64,
    sha256: String,
    large: bool,
}

impl Loopback {
    /// Starts to serve `folder`, to those who have `token` where there is one, in pages of `page` files.
    pub(crate) fn start(folder: &Path, token: Option<&str>, page: usize) -> io::Result<Self> {
        let (hub, elsewhere) = (TcpListener::bind("127.0.0.1:0")?, TcpListener::bind("127.0.0.1:0")?);
        let shared = Arc::new(Shared {
            folder: folder.to_path_buf(),
            elsewhere: elsewhere.local_addr()?,
            token: token.map(str::to_owned),
            page,
            faults: Mutex::default(),
            requests: Mutex::default(),
            released: Mutex::default(),
            repositories: Mutex::default(),
        });
        let address = hub.local_addr()?;
        for listener in [hub, elsewhere] {
            let shared = shared.clone();
            std::thread::spawn(move || {
                for stream in listener.incoming().flatten() {
                    let shared = shared.clone();
                    // A client that goes away is its own affair.
                    std::thread::spawn(move || drop(shared.answer(stream)));
                }
            });
        }
        Ok(Self { address, shared })
    }

    /// Address of the hub.
    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// From now on, `times` requests for `what` (a path in a repository, `revision` or `tree`) meet `fault`.
    pub(crate) fn fault(&self, what: &str, fault: Fault, times: u32) {
        self.shared.faults.lock().unwrap().push((what.to_owned(), fault, times));
    }

    /// All requests so far.
    pub(crate) fn requests(&self) -> Vec<Request> {
        self.shared.requests.lock().unwrap().clone()
    }
}

#[allow(dead_code, reason = "the example needs less than the tests")]
impl Loopback {
    /// Lets answers that stall go on.
    pub(crate) fn release(&self) {
        *self.shared.released.lock().unwrap() = true;
    }

    /// The commit that `main` of `repository` is.
    pub(crate) fn commit(&self, repository: &str) -> String {
        self.shared.repository(repository).unwrap().commit.clone()
    }

    /// Requests for the bytes of `what`, by the first byte that each asked for.
    pub(crate) fn ranges(&self, what: &str) -> Vec<u64> {
        let bytes = |request: &Request| request.method == "GET" && request.what == what;
        let elsewhere = |request: &Request| request.target.starts_with("/bytes/");
        let requests = self.requests();
        requests.iter().filter(|r| bytes(r) && elsewhere(r)).map(|r| r.from.unwrap_or(0)).collect()
    }
}

impl Shared {
    fn answer(&self, mut stream: TcpStream) -> io::Result<()> {
        let Some((mut request, headers)) = read_request(&stream)? else { return Ok(()) };
        let endpoint = format!("http://{}", stream.local_addr()?);
        let path = request.target.split('?').next().unwrap_or("").trim_start_matches('/').to_owned();
        let segments: Vec<&str> = path.splitn(6, '/').collect();
        let (owner, name, route, revision, file) = match segments.as_slice() {
            ["api", "datasets", owner, name, route @ ("revision" | "tree"), revision] => {
                (owner, name, *route, decode(revision), (*route).to_owned())
            }
            ["datasets", owner, name, "resolve", revision, file] => {
                (owner, name, "resolve", decode(revision), decode(file))
            }
            ["bytes", owner, name, rest @ ..] => (owner, name, "bytes", "main".to_owned(), decode(&rest.join("/"))),
            _ => return respond(&mut stream, 404, &[], "no such route"),
        };
        let id = format!("{owner}/{name}");
        request.what.clone_from(&file);
        self.requests.lock().unwrap().push(request.clone());
        if route != "bytes"
            && let Some(token) = &self.token
            && request.authorization.as_deref() != Some(&format!("Bearer {token}"))
        {
            let (status, message) = match request.authorization {
                None => (401, "Access to this data set is restricted. You must have access to it and be authenticated"),
                Some(_) => (403, "Access to this data set is restricted and you are not in the authorized list"),
            };
            return respond(&mut stream, status, &[("X-Error-Code", "GatedRepo"), ("X-Error-Message", message)], "");
        }
        let Some(repository) = self.repository(&id) else {
            // The hub does not tell strangers whether a repository exists.
            let (status, code) = if request.authorization.is_some() { (404, "RepoNotFound") } else { (401, "") };
            return respond(&mut stream, status, &[("X-Error-Code", code)], r#"{"error": "Repository not found"}"#);
        };
        if revision != "main" && revision != repository.commit {
            let headers = [("X-Error-Code", "RevisionNotFound"), ("X-Error-Message", "Invalid rev id")];
            return respond(&mut stream, 404, &headers, "");
        }
        let stored = repository.files.get(&file);
        // A file that is elsewhere meets its fault there, unless it is one of access.
        let resolves_elsewhere = route == "resolve" && stored.is_some_and(|stored| stored.large);
        let fault = self.next_fault(&file, |fault| match fault {
            Fault::Status(401 | 403 | 404, _) => route != "bytes",
            _ => !resolves_elsewhere,
        });
        match &fault {
            Some(Fault::Status(status, retry_after)) => {
                let wait = retry_after.as_deref().map(|wait| ("Retry-After", wait));
                return respond(&mut stream, *status, wait.as_slice(), "");
            }
            Some(Fault::Close) => return stream.shutdown(Shutdown::Both),
            _ => {}
        }
        match (route, stored) {
            ("revision", _) => {
                let siblings: Vec<_> = repository.files.keys().map(|path| json!({"rfilename": path})).collect();
                let info = json!({"_id": "0", "id": id, "sha": repository.commit, "siblings": siblings});
                respond(&mut stream, 200, &[("Content-Type", "application/json")], &info.to_string())
            }
            ("tree", _) => self.list(&mut stream, &endpoint, &request.target, &repository),
            (_, None) => {
                let headers = [("X-Error-Code", "EntryNotFound"), ("X-Error-Message", "Entry not found")];
                respond(&mut stream, 404, &headers, "")
            }
            (_, Some(stored)) if resolves_elsewhere => {
                let location = format!("http://{}/bytes/{id}/{}?signature=secret", self.elsewhere, encode(&file));
                let (tag, size) = (format!("\"{}\"", stored.sha256), stored.size.to_string());
                let headers = [
                    ("Location", location.as_str()),
                    ("X-Repo-Commit", &repository.commit),
                    ("X-Linked-Etag", &tag),
                    ("X-Linked-Size", &size),
                ];
                respond(&mut stream, 302, &headers, "")
            }
            (_, Some(stored)) => send(self, &mut stream, &request, &headers, stored, fault.as_ref()),
        }
    }

    fn list(&self, stream: &mut TcpStream, endpoint: &str, target: &str, repository: &Repository) -> io::Result<()> {
        let begin = target.split_once("cursor=").and_then(|(_, cursor)| cursor.parse().ok()).unwrap_or(0_usize);
        let entries: Vec<_> = repository.files.iter().skip(begin).take(self.page).map(entry).collect();
        let next = begin + entries.len();
        let link =
            format!("<{endpoint}{}?recursive=true&cursor={next}>; rel=\"next\"", target.split('?').next().unwrap());
        let link = (next < repository.files.len()).then_some(("Link", link.as_str()));
        respond(stream, 200, link.as_slice(), &json!(entries).to_string())
    }

    fn next_fault(&self, what: &str, fits: impl Fn(&Fault) -> bool) -> Option<Fault> {
        let mut faults = self.faults.lock().unwrap();
        let (_, fault, times) = faults.iter_mut().find(|(on, fault, times)| *times > 0 && on == what && fits(fault))?;
        *times -= 1;
        Some(fault.clone())
    }

    fn repository(&self, id: &str) -> Option<Arc<Repository>> {
        let mut repositories = self.repositories.lock().unwrap();
        if let Some(known) = repositories.get(id) {
            return Some(known.clone());
        }
        let folder = self.folder.join(id);
        if id.split('/').any(|part| part.starts_with('.')) || !folder.is_dir() {
            return None;
        }
        let mut files = BTreeMap::new();
        read_folder(&folder, "", &mut files).ok()?;
        let mut hash = Sha256::new();
        for (path, stored) in &files {
            hash.update(format!("{path} {}\n", stored.sha256));
        }
        let repository = Arc::new(Repository { commit: hex(&hash.finalize())[..40].to_owned(), files });
        repositories.insert(id.to_owned(), repository.clone());
        Some(repository)
    }
}

fn read_request(stream: &TcpStream) -> io::Result<Option<(Request, BTreeMap<String, String>)>> {
    let mut lines = BufReader::new(stream).lines();
    let Some(first) = lines.next().transpose()? else { return Ok(None) };
    let mut words = first.split(' ').map(str::to_owned);
    let (Some(method), Some(target)) = (words.next(), words.next()) else { return Ok(None) };
    let mut headers = BTreeMap::new();
    for line in lines {
        let line = line?;
        let Some((name, value)) = line.split_once(':') else { break };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    let from = headers.get("range").and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok());
    let authorization = headers.get("authorization").cloned();
    let at = Instant::now();
    Ok(Some((Request { method, target, what: String::new(), from, authorization, at }, headers)))
}

fn respond(stream: &mut TcpStream, status: u16, headers: &[(&str, &str)], body: &str) -> io::Result<()> {
    let mut head = format!("HTTP/1.1 {status} Status\r\nConnection: close\r\nContent-Length: {}\r\n", body.len());
    for (name, value) in headers {
        let _ = write!(head, "{name}: {value}\r\n");
    }
    stream.write_all(format!("{head}\r\n{body}").as_bytes())
}

fn send(
    shared: &Shared,
    stream: &mut TcpStream,
    request: &Request,
    headers: &BTreeMap<String, String>,
    stored: &Stored,
    fault: Option<&Fault>,
) -> io::Result<()> {
    let ranged = headers.contains_key("range") && fault != Some(&Fault::IgnoreRange);
    let from = request.from.filter(|_| ranged).unwrap_or(0);
    if from > 0 && from >= stored.size {
        return respond(stream, 416, &[("Content-Range", &format!("bytes */{}", stored.size))], "");
    }
    let length = stored.size - from;
    let said = match fault {
        Some(Fault::WrongLength(more)) => length.saturating_add_signed(*more),
        _ => length,
    };
    let mut head = format!(
        "HTTP/1.1 {} Status\r\nConnection: close\r\nContent-Length: {said}\r\n",
        if ranged { 206 } else { 200 }
    );
    let _ = write!(head, "ETag: \"{}\"\r\nAccept-Ranges: bytes\r\n", stored.sha256);
    if ranged {
        let shift = u64::from(fault == Some(&Fault::WrongRange));
        let _ = write!(head, "Content-Range: bytes {}-{}/{}\r\n", from - shift, stored.size - 1 - shift, stored.size);
    }
    stream.write_all(format!("{head}\r\n").as_bytes())?;
    if request.method == "HEAD" {
        return Ok(());
    }
    let mut file = File::open(&stored.path)?;
    file.seek(SeekFrom::Start(from))?;
    if let Some(Fault::Cut(first) | Fault::Stall(first)) = fault {
        copy(&mut file, (*first).min(length), stream, false)?;
        if matches!(fault, Some(Fault::Cut(_))) {
            return Ok(());
        }
        stream.set_read_timeout(Some(Duration::from_millis(5)))?;
        while !*shared.released.lock().unwrap() {
            if matches!(stream.peek(&mut [0]), Ok(0)) {
                return Ok(());
            }
        }
    }
    copy(&mut file, length, stream, fault == Some(&Fault::WrongBytes))
}

fn copy(file: &mut File, length: u64, stream: &mut TcpStream, wrong: bool) -> io::Result<()> {
    let mut file = file.take(length);
    let mut piece = vec![0; 1 << 16];
    loop {
        let length = file.read(&mut piece)?;
        if length == 0 {
            return Ok(());
        }
        piece[0] ^= u8::from(wrong);
        stream.write_all(&piece[..length])?;
    }
}

fn entry((path, stored): (&String, &Stored)) -> serde_json::Value {
    let mut entry = json!({"type": "file", "oid": &stored.sha256[..40], "size": stored.size, "path": path});
    if stored.large {
        entry["lfs"] = json!({"oid": stored.sha256, "size": stored.size, "pointerSize": 130});
    }
    entry
}

fn read_folder(folder: &Path, prefix: &str, files: &mut BTreeMap<String, Stored>) -> io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let name = format!("{prefix}{}", path.file_name().unwrap_or_default().to_string_lossy());
        if path.is_dir() {
            read_folder(&path, &format!("{name}/"), files)?;
            continue;
        }
        let mut hash = Sha256::new();
        let mut file = File::open(&path)?;
        let mut piece = vec![0; 1 << 16];
        loop {
            match file.read(&mut piece)? {
                0 => break,
                length => hash.update(&piece[..length]),
            }
        }
        // As the hub has it: what is no text is not in git.
        let large = !(name.ends_with(".md") || name.ends_with(".json"));
        let size = file.metadata()?.len();
        files.insert(name, Stored { path, size, sha256: hex(&hash.finalize()), large });
    }
    Ok(())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn decode(path: &str) -> String {
    let mut parts = path.split('%');
    let mut bytes = parts.next().unwrap_or("").as_bytes().to_vec();
    for part in parts {
        bytes.extend(part.get(..2).and_then(|digits| u8::from_str_radix(digits, 16).ok()));
        bytes.extend(part.get(2..).unwrap_or("").bytes());
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn encode(path: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte);
    path.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}
