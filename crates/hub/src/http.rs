//! The bytes of files. `hf-hub` would hide the status and the range of an answer, without which nothing can be resumed.

use std::time::SystemTime;

use files::hex;
use reqwest::blocking::{Client, RequestBuilder, Response};
use reqwest::header::{AUTHORIZATION, CONTENT_RANGE, RANGE, RETRY_AFTER};
use reqwest::redirect::Policy;
use reqwest::{StatusCode, Url};

use crate::error::chain;
use crate::repository::{Answer, Repository, USER_AGENT};
use crate::retry::{Failure, retry_after};
use crate::{Error, Result};

/// The hub's digests of large files.
pub(crate) struct Heads<'a>(Http<'a>);

/// The hub's files.
pub(crate) struct Files<'a>(Http<'a>);

struct Http<'a> {
    repository: Repository<'a>,
    client: Client,
}

/// A body, and which bytes of the file it is.
pub(crate) enum Body {
    /// All bytes.
    Whole(Response),
    /// Those from `from` on, of a file of `size` bytes where that is said.
    Rest { from: u64, size: Option<u64>, response: Response },
    /// There are no bytes at the place that was asked for.
    Nothing,
}

impl<'a> Heads<'a> {
    pub(crate) fn new(repository: Repository<'a>) -> Result<Self> {
        let origin = Url::parse(&repository.settings.endpoint).ok().map(|url| url.origin());
        // The hub sends a large file's digest along with the address elsewhere that has its bytes.
        let policy = Policy::custom(move |attempt| {
            if attempt.previous().len() > 10 {
                attempt.error("too many redirects")
            } else if Some(attempt.url().origin()) == origin {
                attempt.follow()
            } else {
                attempt.stop()
            }
        });
        Http::new(repository, policy).map(Self)
    }

    /// The sha256 of the file at `path`, where the hub says it.
    pub(crate) fn sha256(&self, commit: &str, path: &str) -> Result<Option<String>, Failure> {
        let request = self.0.client.head(self.0.repository.url(commit, path)?);
        let response = self.0.send(request, commit, path, |status| status.is_success() || status.is_redirection())?;
        let tag = response.headers().get("x-linked-etag").and_then(|tag| tag.to_str().ok()).unwrap_or_default();
        let tag = tag.trim_matches('"').to_ascii_lowercase();
        Ok(is_sha256(&tag).then_some(tag))
    }
}

impl<'a> Files<'a> {
    pub(crate) fn new(repository: Repository<'a>) -> Result<Self> {
        Http::new(repository, Policy::limited(10)).map(Self)
    }

    /// The bytes of the file at `path`, from `from` on.
    pub(crate) fn get(&self, commit: &str, path: &str, from: u64) -> Result<Body, Failure> {
        let mut request = self.0.client.get(self.0.repository.url(commit, path)?);
        if from > 0 {
            request = request.header(RANGE, format!("bytes={from}-"));
        }
        let good = |status| matches!(status, StatusCode::OK | StatusCode::PARTIAL_CONTENT);
        let good = |status| good(status) || status == StatusCode::RANGE_NOT_SATISFIABLE && from > 0;
        let response = self.0.send(request, commit, path, good)?;
        match response.status() {
            StatusCode::PARTIAL_CONTENT => {
                let range = response.headers().get(CONTENT_RANGE).and_then(|range| range.to_str().ok()).unwrap_or("");
                let (from, size) = content_range(range)
                    .ok_or_else(|| Failure::passing(format!("expected a range of bytes, found {range:?}")))?;
                Ok(Body::Rest { from, size, response })
            }
            StatusCode::RANGE_NOT_SATISFIABLE => Ok(Body::Nothing),
            _ => Ok(Body::Whole(response)),
        }
    }
}

impl<'a> Http<'a> {
    fn new(repository: Repository<'a>, redirects: Policy) -> Result<Self> {
        let client = Client::builder()
            .user_agent(USER_AGENT)
            .redirect(redirects)
            .connect_timeout(repository.settings.timeout)
            // Of this client, it is the timeout of each read.
            .timeout(repository.settings.timeout)
            .build()
            .map_err(|cause| Error::Client(chain(&cause)))?;
        Ok(Self { repository, client })
    }

    fn send(
        &self,
        mut request: RequestBuilder,
        commit: &str,
        path: &str,
        good: impl Fn(StatusCode) -> bool,
    ) -> Result<Response, Failure> {
        let settings = self.repository.settings;
        if let Some(token) = &settings.token {
            // A redirect to another host loses it.
            request = request.header(AUTHORIZATION, token.header.clone());
        }
        let asked = file_of(&self.repository, commit, path);
        let response = request.send().map_err(|error| {
            let hopeless = error.is_builder() || error.is_redirect();
            // The address of a redirect has a signature that opens the file to anybody.
            let text = chain(&error.without_url());
            if hopeless {
                Error::Answer { host: settings.endpoint.clone(), asked: asked.clone(), answer: text }.into()
            } else {
                Failure::passing(text)
            }
        })?;
        if good(response.status()) {
            return Ok(response);
        }
        let header = |name: &str| Some(response.headers().get(name)?.to_str().ok()?.to_owned());
        let home = Url::parse(&settings.endpoint).ok().map(|url| url.origin());
        let origin = response.url().origin();
        let answer = Answer {
            status: response.status(),
            elsewhere: (home.as_ref() != Some(&origin)).then(|| origin.ascii_serialization()),
            code: header("x-error-code"),
            message: header("x-error-message"),
            wait: header(RETRY_AFTER.as_str()).and_then(|value| retry_after(&value, SystemTime::now())),
        };
        Err(self.repository.failure(&asked, answer))
    }
}

/// What messages call the file at `path`.
pub(crate) fn file_of(repository: &Repository<'_>, commit: &str, path: &str) -> String {
    format!("file {path:?} of {repository} at revision {commit}")
}

/// The digest of what `hash` has seen, in hexadecimal.
pub(crate) fn digest(hash: sha2::Sha256) -> String {
    hex(&sha2::Digest::finalize(hash))
}

/// Whether `text` is a sha256 in lower-case hexadecimal.
pub(crate) fn is_sha256(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// The first byte and the size of the file in `bytes 10-19/20`.
fn content_range(value: &str) -> Option<(u64, Option<u64>)> {
    let (range, size) = value.trim().strip_prefix("bytes ")?.split_once('/')?;
    let (from, to) = range.split_once('-')?;
    let (from, to): (u64, u64) = (from.trim().parse().ok()?, to.trim().parse().ok()?);
    let size = match size.trim() {
        "*" => None,
        size => Some(size.parse().ok()?),
    };
    (from <= to && size.is_none_or(|size| to < size)).then_some((from, size))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_read_or_refused() {
        assert_eq!(content_range("bytes 10-19/20"), Some((10, Some(20))));
        assert_eq!(content_range("bytes 10-19/*"), Some((10, None)));
        for wrong in ["", "bytes", "bytes */20", "bytes 10-19", "bytes 19-10/20", "bytes 10-20/20", "lines 1-2/3"] {
            assert_eq!(content_range(wrong), None, "{wrong}");
        }
    }
}
