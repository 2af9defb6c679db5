//! A schema registry, asked over HTTP.

pub mod schemas;

use std::borrow::Cow;
use std::collections::HashSet;
use std::fs;
use std::io::Read as _;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use reqwest::blocking::{Client, RequestBuilder};
use reqwest::{Certificate, Identity, StatusCode};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::json;
use url::Url;

use crate::config::Registry as Settings;

/// How often it is asked before it counts as gone, and how long it may rest after the first time; each time twice as long.
const TRIES: u32 = 5;
const REST: Duration = Duration::from_millis(100);

/// No schema is larger, in bytes, nor refers to more others.
const LARGEST: u64 = 8 << 20;
const REFERENCES: usize = 200;

/// The registry.
#[derive(Debug)]
pub struct Registry {
    client: Client,
    settings: Settings,
    url: Url,
}

/// The number of a value's schema, and what is behind it: a zero byte and the number come first (Confluent's wire format).
#[must_use]
pub fn unframed(value: &[u8]) -> Option<(u32, &[u8])> {
    match value {
        [0, a, b, c, d, rest @ ..] => Some((u32::from_be_bytes([*a, *b, *c, *d]), rest)),
        _ => None,
    }
}

/// These bytes, for a schema's number.
#[must_use]
pub fn header(schema: u32) -> [u8; 5] {
    let [a, b, c, d] = schema.to_be_bytes();
    [0, a, b, c, d]
}

/// Why a schema can't be had.
#[derive(Debug)]
pub enum Missing {
    /// There is none of this number, or none that can be read: it is the record that is wrong.
    Nothing(String),
    /// Nobody can tell: the registry does not answer, or not to us.
    Unanswered(anyhow::Error),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    schema: String,
    /// Avro, if it says nothing.
    schema_type: Option<String>,
    #[serde(default)]
    references: Vec<Reference>,
}

/// Another schema that one refers to.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq, Hash)]
pub struct Reference {
    name: String,
    subject: String,
    version: i64,
}

/// The text of a schema that another refers to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// As the other calls it.
    pub name: String,
    /// As it was registered.
    pub text: String,
}

/// A schema that is to be registered.
#[derive(Debug)]
pub struct Proposed<'r> {
    /// What registries call its kind.
    pub kind: &'static str,
    /// Its text.
    pub schema: Cow<'static, str>,
    /// The others that it refers to.
    pub references: &'r [Reference],
}

impl Registry {
    /// The registry that the settings name, if they name one. Nothing is asked of it yet.
    ///
    /// # Errors
    /// When its certificates can't be used.
    pub fn new(settings: &Settings) -> Result<Option<Self>> {
        let Some(url) = settings.url.clone() else { return Ok(None) };
        let mut client =
            Client::builder().user_agent(concat!("tagbert/", env!("CARGO_PKG_VERSION"))).timeout(settings.timeout);
        if let Some(path) = &settings.ca {
            let about = || format!("registry.ca: {}", path.display());
            let pem = fs::read(path).with_context(about)?;
            for certificate in Certificate::from_pem_bundle(&pem).with_context(about)? {
                client = client.add_root_certificate(certificate);
            }
        }
        if let (Some(certificate), Some(key)) = (&settings.certificate, &settings.key) {
            let read = |path: &PathBuf| fs::read(path).with_context(|| format!("registry: {}", path.display()));
            let both = [read(certificate)?, read(key)?].concat();
            client = client.identity(Identity::from_pem(&both).context("registry.certificate")?);
        }
        let client = client.build().context("registry")?;
        Ok(Some(Self { client, settings: settings.clone(), url }))
    }

    /// The number of a schema under a subject; it is registered there, unless that is for others to do. Blocks.
    ///
    /// # Errors
    /// When it is not there, or does not go with those before it, or nobody can tell.
    pub fn register(&self, subject: &str, proposed: &Proposed) -> Result<u32, Missing> {
        #[derive(Deserialize)]
        struct Registered {
            id: u32,
        }
        let path = ["subjects", subject, "versions"];
        let asked = self.post(&path[..2 + usize::from(self.settings.auto_register)], proposed);
        let registered: Registered = asked.map_err(|missing| match missing {
            Missing::Nothing(_) if !self.settings.auto_register => Missing::Unanswered(anyhow!(
                "the schema of enriched records is not registered under subject `{subject}`, and `registry.auto_register` is false"
            )),
            // Where whatever is not there would be registered, it is the address that is wrong, and not the record.
            Missing::Nothing(why) => Missing::Unanswered(anyhow!(why).context(format!("subject `{subject}`"))),
            Missing::Unanswered(error) => Missing::Unanswered(error.context(format!("subject `{subject}`"))),
        })?;
        Ok(registered.id)
    }

    /// Asks whether a schema could be registered, or is there, if that is for others to do. Blocks.
    ///
    /// # Errors
    /// When it is not, or nobody can tell.
    pub fn prove(&self, subject: &str, proposed: &Proposed) -> Result<()> {
        #[derive(Deserialize)]
        struct Compatible {
            is_compatible: bool,
        }
        if !self.settings.auto_register {
            return self.register(subject, proposed).map(drop).map_err(|missing| match missing {
                Missing::Nothing(why) => anyhow!(why),
                Missing::Unanswered(error) => error,
            });
        }
        match self.post(&["compatibility", "subjects", subject, "versions", "latest"], proposed) {
            // Nothing is registered yet, with which it would have to go.
            Ok(Compatible { is_compatible: true }) | Err(Missing::Nothing(_)) => Ok(()),
            Ok(_) => bail!(
                "the schema of enriched records does not go with those registered under subject `{subject}` (compatibility): set \
                 `output.topic` to another, or let the registry's owner decide"
            ),
            Err(Missing::Unanswered(error)) => Err(error.context(format!("subject `{subject}`"))),
        }
    }

    /// Asks whether it is there, and speaks to us.
    ///
    /// # Errors
    /// When it does not.
    pub fn probe(&self) -> Result<()> {
        let types: Result<Vec<String>, Missing> = self.get(&["schemas", "types"]);
        match types {
            Ok(_) => Ok(()),
            Err(Missing::Nothing(_)) => bail!("{} is no schema registry: is something missing behind it?", self.url),
            Err(Missing::Unanswered(error)) => Err(error),
        }
    }

    fn schema(&self, id: u32) -> Result<Answer, Missing> {
        self.get(&["schemas", "ids", &id.to_string()])
    }

    /// The others that a schema refers to, those first that others refer to.
    fn referred_to(&self, references: &[Reference]) -> Result<Vec<Named>, Missing> {
        let mut texts = Vec::new();
        self.add_references(references, &mut HashSet::new(), &mut texts)?;
        Ok(texts)
    }

    fn add_references(
        &self,
        references: &[Reference],
        seen: &mut HashSet<Reference>,
        texts: &mut Vec<Named>,
    ) -> Result<(), Missing> {
        for reference in references {
            if !seen.insert(reference.clone()) {
                continue;
            }
            let Reference { name, subject, version } = reference;
            if seen.len() > REFERENCES {
                return Err(Missing::Nothing(format!(
                    "a schema of the registry refers to more than {REFERENCES} others"
                )));
            }
            let answer: Answer = self.get(&["subjects", subject, "versions", &version.to_string()])?;
            self.add_references(&answer.references, seen, texts)?;
            texts.push(Named { name: name.clone(), text: answer.schema });
        }
        Ok(())
    }

    fn post<T: DeserializeOwned>(&self, path: &[&str], proposed: &Proposed) -> Result<T, Missing> {
        let Proposed { kind, schema, references } = proposed;
        let body = json!({ "schemaType": kind, "schema": schema, "references": references });
        let url = self.at(path);
        self.ask(&url, || self.client.post(url.clone()).json(&body))
    }

    fn get<T: DeserializeOwned>(&self, path: &[&str]) -> Result<T, Missing> {
        let url = self.at(path);
        self.ask(&url, || self.client.get(url.clone()))
    }

    fn at(&self, path: &[&str]) -> Url {
        let mut url = self.url.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        url
    }

    fn ask<T: DeserializeOwned>(&self, url: &Url, request: impl Fn() -> RequestBuilder) -> Result<T, Missing> {
        let mut rest = REST;
        for tries in 1.. {
            match self.try_once(request(), url) {
                Tried::Answer(answer) => return Ok(answer),
                Tried::Nothing => return Err(Missing::Nothing(format!("the registry has no {}", url.path()))),
                Tried::Refused(error) => return Err(Missing::Unanswered(error)),
                Tried::Later(error) if tries == TRIES => {
                    return Err(Missing::Unanswered(
                        error.context(format!("the schema registry, asked {TRIES} times")),
                    ));
                }
                Tried::Later(error) => tracing::debug!("the schema registry will be asked again: {error:#}"),
            }
            thread::sleep(rest);
            rest *= 2;
        }
        unreachable!("the last try returns")
    }

    fn try_once<T: DeserializeOwned>(&self, mut request: RequestBuilder, url: &Url) -> Tried<T> {
        let Settings { username, password, token, .. } = &self.settings;
        if let Some(username) = username {
            request = request.basic_auth(username, password.as_ref());
        }
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        let answer = match request.send() {
            Ok(answer) => answer,
            Err(error) => return Tried::Later(error.into()),
        };
        let status = answer.status();
        let mut body = Vec::new();
        match status {
            StatusCode::NOT_FOUND => return Tried::Nothing,
            StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS => {
                return Tried::Later(anyhow!("{url}: {status}"));
            }
            _ if status.is_server_error() => return Tried::Later(anyhow!("{url}: {status}")),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                let why = "see `registry.username`, `registry.password_file` and `registry.token_file`";
                return Tried::Refused(anyhow!("the schema registry answers {status} to {url}: {why}"));
            }
            StatusCode::CONFLICT => {
                return Tried::Refused(anyhow!(
                    "the schema does not go with those registered before it (compatibility), says {url}"
                ));
            }
            _ if !status.is_success() => {
                return Tried::Refused(anyhow!("the schema registry answers {status} to {url}"));
            }
            _ => {}
        }
        if let Err(error) = answer.take(LARGEST).read_to_end(&mut body) {
            return Tried::Later(error.into());
        }
        match serde_json::from_slice(&body) {
            Ok(answer) => Tried::Answer(answer),
            Err(_) => Tried::Refused(anyhow!("{url} does not answer as a schema registry does: see `registry.url`")),
        }
    }
}

/// What came of a question.
enum Tried<T> {
    Answer(T),
    Nothing,
    /// To ask again would change nothing.
    Refused(anyhow::Error),
    Later(anyhow::Error),
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead as _, BufReader, Write as _};
    use std::net::TcpListener;

    use super::*;

    /// What is said of a schema, where a server answers 404 to its registration.
    fn refused(auto_register: bool) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url: Url = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = BufReader::new(stream.try_clone().unwrap());
            let mut length: usize = 0;
            for line in request.by_ref().lines().map(Result::unwrap).take_while(|line| !line.is_empty()) {
                if let Some(bytes) = line.to_lowercase().strip_prefix("content-length: ") {
                    length = bytes.parse().unwrap();
                }
            }
            request.read_exact(&mut vec![0; length]).unwrap();
            stream.write_all(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").unwrap();
        });
        let settings = Settings { url: Some(url), auto_register, ..Settings::default() };
        let registry = Registry::new(&settings).unwrap().unwrap();
        let proposed = Proposed { kind: "JSON", schema: "{}".into(), references: &[] };
        let missing = registry.register("tagged-value", &proposed).unwrap_err();
        server.join().unwrap();
        match missing {
            Missing::Unanswered(error) => format!("{error:#}"),
            Missing::Nothing(why) => panic!("it is not the record that is wrong: {why}"),
        }
    }

    #[test]
    fn a_schema_that_is_not_there_and_a_registry_that_is_not_there_are_told_apart() {
        let unregistered = refused(false);
        assert!(unregistered.contains("`registry.auto_register` is false"), "{unregistered}");
        let elsewhere = refused(true);
        assert_eq!(elsewhere, "subject `tagged-value`: the registry has no /subjects/tagged-value/versions");
    }
}
