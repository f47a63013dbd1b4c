//! A data set of the hub: what it answers, and what that means.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use hf_hub::repository::RepoTreeEntry;
use hf_hub::{HFClient, HFError, HFRepositorySync, RepoTypeDataset, split_id};
use reqwest::{StatusCode, Url};

use crate::error::chain;
use crate::progress::Progress;
use crate::retry::{Failure, repeat};
use crate::{Error, Result, Settings, Token};

/// How we present ourselves.
pub(crate) const USER_AGENT: &str = concat!("wrs-bench/", env!("CARGO_PKG_VERSION"));

/// A data set of the hub, and who asks for it.
#[derive(Clone, Copy)]
pub(crate) struct Repository<'a> {
    /// Owner and name.
    pub(crate) id: &'a str,
    /// The manifest that names it.
    pub(crate) manifest: &'a Path,
    pub(crate) settings: &'a Settings,
}

/// An answer without what was asked for.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    /// Who answered, where it was not the hub.
    pub(crate) elsewhere: Option<String>,
    /// The hub's name of the error.
    pub(crate) code: Option<String>,
    pub(crate) message: Option<String>,
    /// How long to wait before another attempt.
    pub(crate) wait: Option<Duration>,
}

impl Repository<'_> {
    /// Address of the file at `path` of the repository.
    pub(crate) fn url(&self, commit: &str, path: &str) -> Result<Url> {
        let address = format!("{}/datasets/{}/resolve/{commit}", self.settings.endpoint, self.id);
        let mut url = Url::parse(&address).ok().filter(|url| !url.cannot_be_a_base());
        if let Some(mut segments) = url.as_mut().and_then(|url| url.path_segments_mut().ok()) {
            segments.extend(path.split('/'));
        }
        url.ok_or(Error::Variable { name: "HF_ENDPOINT", expected: "an address", found: address })
    }

    /// What `answer` to the question for `asked` means.
    pub(crate) fn failure(&self, asked: &str, answer: Answer) -> Failure {
        let status = answer.status;
        let said = match answer.message.as_deref().and_then(|message| message.lines().next()) {
            Some(message) if !message.is_empty() => format!("{status}: {message:.300}"),
            _ => status.to_string(),
        };
        let page = format!("{}/datasets/{}", self.settings.endpoint, self.id);
        if status.is_server_error()
            || matches!(status, StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS | StatusCode::TOO_EARLY)
        {
            return Failure::Passing { reason: said, wait: answer.wait };
        }
        Failure::Final(match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN if answer.elsewhere.is_none() => {
                Error::Refused { asked: asked.to_owned(), answer: said, hint: self.way_in(&page) }
            }
            StatusCode::NOT_FOUND | StatusCode::GONE => {
                let no_repository = answer.code.as_deref() == Some("RepoNotFound");
                Error::NotFound {
                    asked: if no_repository { self.to_string() } else { asked.to_owned() },
                    answer: said,
                    page,
                    file: self.manifest.to_path_buf(),
                }
            }
            _ => {
                let host = answer.elsewhere.unwrap_or_else(|| self.settings.endpoint.clone());
                Error::Answer { host, asked: asked.to_owned(), answer: said }
            }
        })
    }

    /// How to be let in.
    fn way_in(&self, page: &str) -> String {
        let tokens = format!("{}/settings/tokens", self.settings.endpoint);
        match &self.settings.token {
            None => format!(
                "no token was given. Accept the terms at {page}, make a token at {tokens}, and set HF_TOKEN to it. Where \
                 there is no such page, the repository is private or does not exist"
            ),
            Some(Token { origin, .. }) => format!(
                "the token of {origin} was given. Accept the terms at {page} with the account that it belongs to; see at \
                 {tokens} whether it is still valid and may read gated repositories"
            ),
        }
    }
}

impl fmt::Display for Repository<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "data set {}", self.id)
    }
}

/// What the hub says about a repository.
pub(crate) struct Api<'a> {
    repository: Repository<'a>,
    progress: &'a Progress,
    client: HFRepositorySync<RepoTypeDataset>,
}

/// A file of a repository.
pub(crate) struct Listed {
    pub(crate) path: String,
    pub(crate) size: u64,
}

impl<'a> Api<'a> {
    pub(crate) fn new(repository: Repository<'a>, progress: &'a Progress) -> Result<Self> {
        let settings = repository.settings;
        let http = reqwest::Client::builder()
            .user_agent(USER_AGENT)
            .connect_timeout(settings.timeout)
            .read_timeout(settings.timeout)
            .build()
            .map_err(|cause| Error::Client(chain(&cause)))?;
        // It has no say in what is tried again, so that files and questions follow one rule.
        let builder = HFClient::builder().endpoint(&settings.endpoint).client(http).retry_max_attempts(0);
        let mut builder = builder.cache_enabled(false);
        if let Some(folder) = &settings.cache {
            builder = builder.cache_dir(folder);
        }
        if let Some(token) = &settings.token {
            builder = builder.token(&token.secret);
        }
        let client = builder.build_sync().map_err(|cause| Error::Client(chain(&cause)))?;
        let (owner, name) = split_id(repository.id);
        Ok(Self { repository, progress, client: client.dataset(owner, name) })
    }

    /// The commit that `revision` is now.
    pub(crate) fn commit(&self, revision: &str) -> Result<String> {
        let asked = format!("revision {revision:?} of {}", self.repository);
        let info = self.ask(&asked, || self.client.info().revision(revision).send())?;
        let commit = info.sha.unwrap_or_default();
        if is_commit(&commit) {
            return Ok(commit);
        }
        let answer = format!("expected a commit of 40 hexadecimal digits, found {commit:?}");
        Err(Error::Answer { host: self.repository.settings.endpoint.clone(), asked, answer })
    }

    /// All files of `commit`. Digests are not among what `hf-hub` reads from the list: the hub calls them `oid` there.
    pub(crate) fn list(&self, commit: &str) -> Result<Vec<Listed>> {
        let asked = format!("list of the files of {} at revision {commit}", self.repository);
        let entries = self.ask(&asked, || self.client.list_tree().revision(commit).recursive(true).send())?;
        let files = entries.into_iter().filter_map(|entry| match entry {
            RepoTreeEntry::File { path, size, .. } => Some(Listed { path, size }),
            RepoTreeEntry::Directory { .. } => None,
        });
        let mut files: Vec<Listed> = files.collect();
        files.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(files)
    }

    fn ask<T>(&self, asked: &str, question: impl Fn() -> Result<T, HFError>) -> Result<T> {
        let question = || question().map_err(|error| self.failure(asked, error));
        repeat(self.repository.settings.back_off, self.progress, asked, question)
    }

    fn failure(&self, asked: &str, error: HFError) -> Failure {
        let (context, wait) = match error {
            HFError::RateLimited { retry_after, context } => (Some(context), retry_after),
            HFError::Http { context } | HFError::AuthRequired { context } | HFError::Forbidden { context } => {
                (Some(context), None)
            }
            HFError::RepoNotFound { context, .. } | HFError::RevisionNotFound { context, .. } => (context, None),
            HFError::Request { source, .. } if !(source.is_builder() || source.is_redirect()) => {
                return Failure::passing(chain(&source.without_url()));
            }
            other => {
                let host = self.repository.settings.endpoint.clone();
                return Error::Answer { host, asked: asked.to_owned(), answer: chain(&other) }.into();
            }
        };
        let answer = match context {
            None => Answer { status: StatusCode::NOT_FOUND, elsewhere: None, code: None, message: None, wait },
            Some(context) => Answer {
                status: context.status,
                elsewhere: None,
                code: context.error_code,
                message: context.server_message,
                wait,
            },
        };
        self.repository.failure(asked, answer)
    }
}

/// Whether `text` is the name of a commit.
pub(crate) fn is_commit(text: &str) -> bool {
    text.len() == 40 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}
