//! How the hub is reached: the environment variables that Python's `huggingface_hub` has.

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use files::read_text_if_present;
use reqwest::Url;
use reqwest::header::HeaderValue;

use crate::{Error, Result};

const ENDPOINT: &str = "https://huggingface.co";

/// How the hub is reached.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Address of the hub, without a slash at the end.
    pub endpoint: String,
    /// What the hub knows its user by.
    pub token: Option<Token>,
    /// The folder of Python's cache, whose files are taken where they are the right ones.
    pub cache: Option<PathBuf>,
    /// Whether nothing may be connected to.
    pub offline: bool,
    /// How long to wait for a connection, for an answer, and for each piece of one.
    pub timeout: Duration,
    /// How long to wait before a second attempt; the wait doubles with each further one.
    pub back_off: Duration,
}

/// What the hub knows its user by. It is never shown.
#[derive(Clone)]
pub struct Token {
    pub(crate) secret: String,
    pub(crate) header: HeaderValue,
    pub(crate) origin: String,
}

impl Settings {
    /// As the environment has it.
    ///
    /// # Errors
    ///
    /// Where a variable has a value that makes no sense, or the file of the token cannot be read.
    pub fn from_env() -> Result<Self> {
        Self::from_variables(|name| std::env::var_os(name))
    }

    /// As `variable` gives the environment's values.
    ///
    /// # Errors
    ///
    /// As [`Settings::from_env`].
    pub fn from_variables(variable: impl Fn(&str) -> Option<OsString>) -> Result<Self> {
        let path = |name: &str| variable(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let text = |name: &str| {
            let value = variable(name)?.to_string_lossy().trim().to_owned();
            (!value.is_empty()).then_some(value)
        };
        let home = path("HF_HOME").or_else(|| {
            let caches = path("XDG_CACHE_HOME").or_else(|| Some(path("HOME")?.join(".cache")))?;
            Some(caches.join("huggingface"))
        });
        let mut token = text("HF_TOKEN").map(|secret| Token::new(secret, "HF_TOKEN")).transpose()?;
        // In the order of `hf-hub`, which looks by itself where it is given none.
        for path in path("HF_TOKEN_PATH").into_iter().chain(home.as_ref().map(|home| home.join("token"))) {
            token = token.map_or_else(|| Token::read(&path), |token| Ok(Some(token)))?;
        }
        let timeout = match text("HF_HUB_DOWNLOAD_TIMEOUT") {
            None => Duration::from_secs(30),
            Some(value) => {
                let seconds = value.parse().ok().filter(|seconds| *seconds > 0.0);
                let timeout = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
                timeout.ok_or(Error::Variable {
                    name: "HF_HUB_DOWNLOAD_TIMEOUT",
                    expected: "a number of seconds above 0",
                    found: value,
                })?
            }
        };
        Ok(Self {
            endpoint: endpoint(text("HF_ENDPOINT").unwrap_or_else(|| ENDPOINT.to_owned()))?,
            token,
            cache: path("HF_HUB_CACHE").or_else(|| Some(home?.join("hub"))),
            offline: text("HF_HUB_OFFLINE")
                .is_some_and(|value| ["1", "true", "yes", "on"].contains(&value.to_ascii_lowercase().as_str())),
            timeout,
            back_off: Duration::from_millis(500),
        })
    }
}

impl Token {
    /// The token `secret`; `origin` says in messages where it is from.
    ///
    /// # Errors
    ///
    /// Where it has characters that no token has.
    pub fn new(secret: impl Into<String>, origin: impl Into<String>) -> Result<Self> {
        let (secret, origin) = (secret.into(), origin.into());
        let visible = !secret.is_empty() && secret.bytes().all(|byte| byte.is_ascii_graphic());
        let header = HeaderValue::from_str(&format!("Bearer {secret}")).ok().filter(|_| visible);
        let Some(mut header) = header else { return Err(Error::Token { origin }) };
        header.set_sensitive(true);
        Ok(Self { secret, header, origin })
    }

    fn read(path: &Path) -> Result<Option<Self>> {
        let secret = read_text_if_present(path)?.unwrap_or_default();
        match secret.trim() {
            "" => Ok(None),
            secret => Self::new(secret, path.display().to_string()).map(Some),
        }
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token(of {})", self.origin)
    }
}

fn endpoint(address: String) -> Result<String> {
    match Url::parse(&address) {
        Ok(url) if matches!(url.scheme(), "http" | "https") && url.query().is_none() && url.fragment().is_none() => {
            Ok(address.trim_end_matches('/').to_owned())
        }
        _ => Err(Error::Variable {
            name: "HF_ENDPOINT",
            expected: "an address such as https://huggingface.co",
            found: address,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(variables: &[(&str, &str)]) -> Result<Settings> {
        let find = |name: &str| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| value.into());
        Settings::from_variables(find)
    }

    #[test]
    fn the_defaults_are_those_of_python() {
        let settings = settings(&[("HOME", "/home/nobody"), ("HF_TOKEN", " "), ("HF_HUB_OFFLINE", "0")]).unwrap();
        assert_eq!(settings.endpoint, "https://huggingface.co");
        assert_eq!(settings.cache.unwrap(), Path::new("/home/nobody/.cache/huggingface/hub"));
        assert_eq!((settings.token.is_none(), settings.offline, settings.timeout.as_secs()), (true, false, 30));
    }

    #[test]
    fn every_variable_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path().to_str().unwrap();
        files::write_atomic(&folder.path().join("token"), b"hf_home\n").unwrap();
        files::write_atomic(&folder.path().join("mine"), b"hf_mine\n").unwrap();
        let token = |variables: &[(&str, &str)]| settings(variables).unwrap().token.unwrap().secret;
        let mine = folder.path().join("mine");
        let mine = ("HF_TOKEN_PATH", mine.to_str().unwrap());
        assert_eq!(token(&[("HF_HOME", home)]), "hf_home");
        assert_eq!(token(&[("HF_HOME", home), mine]), "hf_mine");
        assert_eq!(token(&[("HF_HOME", home), mine, ("HF_TOKEN", "hf_first")]), "hf_first");
        assert_eq!(token(&[("HF_HOME", home), ("HF_TOKEN_PATH", "nowhere/token")]), "hf_home");
        let set = settings(&[
            ("HF_HOME", home),
            ("HF_ENDPOINT", "http://localhost:1/hub/"),
            ("HF_HUB_OFFLINE", "TRUE"),
            ("HF_HUB_DOWNLOAD_TIMEOUT", "0.5"),
        ])
        .unwrap();
        assert_eq!((set.endpoint.as_str(), set.offline), ("http://localhost:1/hub", true));
        assert_eq!((set.timeout.as_millis(), set.cache.unwrap()), (500, folder.path().join("hub")));
        let cache = settings(&[("HF_HOME", home), ("HF_HUB_CACHE", "/elsewhere")]).unwrap().cache;
        assert_eq!(cache.unwrap(), Path::new("/elsewhere"));
    }

    #[test]
    fn values_that_make_no_sense_are_refused_and_a_token_is_never_shown() {
        for (name, value) in [
            ("HF_ENDPOINT", "huggingface.co"),
            ("HF_ENDPOINT", "ftp://huggingface.co"),
            ("HF_HUB_DOWNLOAD_TIMEOUT", "0"),
            ("HF_HUB_DOWNLOAD_TIMEOUT", "soon"),
            ("HF_HUB_DOWNLOAD_TIMEOUT", "1e300"),
        ] {
            let error = settings(&[(name, value)]).unwrap_err();
            assert!(error.is_mistake() && error.to_string().contains(value), "{error}");
        }
        let error = settings(&[("HF_TOKEN", "hf_se cret")]).unwrap_err();
        assert!(!error.to_string().contains("cret"), "{error}");
        let token = settings(&[("HF_TOKEN", "hf_secret")]).unwrap();
        assert!(!format!("{token:?}").contains("hf_secret"));
    }
}
