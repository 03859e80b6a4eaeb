//! An image's configuration (image-spec, config.md; docker's is the same with more fields).

use std::collections::BTreeMap;
use std::time::Duration;

use ctr_types::config::HealthCheck;
use ctr_types::{Digest, Signal, Timestamp};
use serde::{Deserialize, Serialize};

/// Most of each (reliability.md rule 12).
const MAX_ENV: usize = 10_000;
const MAX_VOLUMES: usize = 256;
const MAX_LAYERS: usize = 500;

/// What is wrong with a configuration, or with a change to one.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// It is not JSON of the right form.
    #[error("the image's configuration is malformed")]
    Json(#[from] serde_json::Error),
    /// A field holds something that is not allowed.
    #[error("the image's configuration: {field} {value:?}: {rule}")]
    Field {
        /// The field.
        field: &'static str,
        /// What it holds, cut to 80 characters.
        value: String,
        /// The rule.
        rule: &'static str,
    },
    /// A change is not understood.
    #[error("invalid change {change:?}: {rule}")]
    Change {
        /// The change.
        change: String,
        /// The rule.
        rule: &'static str,
    },
}

/// A configuration as stored: known fields, and everything else as it is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ImageConfig {
    /// When it was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<Timestamp>,
    /// Who has made it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub author: String,
    /// The architecture, in Go's words.
    #[serde(default)]
    pub architecture: String,
    /// The operating system.
    #[serde(default)]
    pub os: String,
    /// What containers start with.
    #[serde(default, deserialize_with = "null_default")]
    pub config: RunConfig,
    /// Its layers.
    #[serde(default)]
    pub rootfs: RootfsIds,
    /// How it came to be.
    #[serde(default, deserialize_with = "null_default")]
    pub history: Vec<History>,
}

/// What containers of an image start with.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[expect(missing_docs, reason = "the fields of config.md, by their names there")]
pub struct RunConfig {
    #[serde(
        deserialize_with = "null_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub user: String,
    #[serde(
        deserialize_with = "null_default",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    pub exposed_ports: BTreeMap<String, serde_json::Value>,
    #[serde(
        deserialize_with = "null_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub env: Vec<String>,
    #[serde(
        deserialize_with = "null_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub entrypoint: Vec<String>,
    #[serde(
        deserialize_with = "null_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub cmd: Vec<String>,
    #[serde(
        deserialize_with = "null_default",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    pub volumes: BTreeMap<String, serde_json::Value>,
    #[serde(
        deserialize_with = "null_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub working_dir: String,
    #[serde(
        deserialize_with = "null_default",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    pub labels: BTreeMap<String, String>,
    #[serde(
        deserialize_with = "null_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub stop_signal: String,
    #[serde(
        deserialize_with = "null_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub on_build: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub healthcheck: Option<serde_json::Value>,
}

/// The layers, lowest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RootfsIds {
    /// Always `layers`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Digests of the uncompressed tars.
    pub diff_ids: Vec<Digest>,
}

/// One line of history.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "the fields of config.md, by their names there")]
pub struct History {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created: Option<Timestamp>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub created_by: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub author: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub comment: String,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub empty_layer: bool,
}

/// Go writes an empty list as null.
fn null_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}

/// Go's name of this program's architecture.
pub fn host_architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

fn wrong(field: &'static str, value: &str, rule: &'static str) -> ConfigError {
    ConfigError::Field {
        field,
        value: value.chars().take(80).collect(),
        rule,
    }
}

impl ImageConfig {
    /// Reads and checks a configuration.
    ///
    /// # Errors
    /// [`ConfigError`] naming the field.
    pub fn parse(json: &[u8]) -> Result<Self, ConfigError> {
        let config: Self = serde_json::from_slice(json)?;
        config.check()?;
        Ok(config)
    }

    fn check(&self) -> Result<(), ConfigError> {
        let run = &self.config;
        if run.env.len() > MAX_ENV {
            return Err(wrong("Env", "", "it has more than 10000 entries"));
        }
        for variable in &run.env {
            // A name without a value must never be looked up on the host (reliability.md H18).
            if variable
                .split_once('=')
                .is_none_or(|(name, _)| name.is_empty())
                || variable.contains('\0')
            {
                return Err(wrong("Env", variable, "an entry is NAME=value"));
            }
        }
        let has_nul = |texts: &[String]| texts.iter().any(|text| text.contains('\0'));
        if has_nul(&run.entrypoint) || has_nul(&run.cmd) {
            return Err(wrong("Entrypoint or Cmd", "", "it holds a NUL byte"));
        }
        if run.volumes.len() > MAX_VOLUMES {
            return Err(wrong("Volumes", "", "it has more than 256 entries"));
        }
        if self.rootfs.diff_ids.len() > MAX_LAYERS {
            return Err(wrong("rootfs.diff_ids", "", "it has more than 500 layers"));
        }
        self.stop_signal()?;
        for port in run.exposed_ports.keys() {
            let (number, protocol) = port.split_once('/').unwrap_or((port, "tcp"));
            let range = number.split('-').all(|part| part.parse::<u16>().is_ok());
            if !range || !matches!(protocol, "tcp" | "udp" | "sctp") {
                return Err(wrong(
                    "ExposedPorts",
                    port,
                    "an entry is PORT[-PORT][/tcp|udp|sctp]",
                ));
            }
        }
        if run.working_dir.contains('\0') {
            return Err(wrong("WorkingDir", "", "it holds a NUL byte"));
        }
        Ok(())
    }

    /// The signal `stop` sends first, if the image names one.
    pub fn stop_signal(&self) -> Result<Option<Signal>, ConfigError> {
        let text = &self.config.stop_signal;
        if text.is_empty() {
            return Ok(None);
        }
        text.parse()
            .map(Some)
            .or(Err(wrong("StopSignal", text, "it names no signal")))
    }

    /// Its health check, if it has one.
    ///
    /// # Errors
    /// [`ConfigError::Field`] when it is malformed.
    pub fn health(&self) -> Result<Option<HealthCheck>, ConfigError> {
        #[derive(Default, Deserialize)]
        #[serde(rename_all = "PascalCase", default)]
        struct Stored {
            test: Vec<String>,
            interval: u64,
            timeout: u64,
            start_period: u64,
            retries: u32,
        }
        let Some(value) = &self.config.healthcheck else {
            return Ok(None);
        };
        let stored: Stored =
            serde_json::from_value(value.clone()).map_err(|error| ConfigError::Field {
                field: "Healthcheck",
                value: error.to_string().chars().take(80).collect(),
                rule: "it must have Test, Interval, Timeout, StartPeriod and Retries",
            })?;
        let Some(command) = HealthCheck::command_of(&stored.test) else {
            return Ok(None);
        };
        let mut check = HealthCheck::new(command);
        // Nanoseconds; 0 means the default.
        let time = |nanos: u64, default| match nanos {
            0 => default,
            nanos => Duration::from_nanos(nanos),
        };
        check.interval = time(stored.interval, check.interval);
        check.timeout = time(stored.timeout, check.timeout);
        check.start_period = time(stored.start_period, check.start_period);
        if stored.retries > 0 {
            check.retries = stored.retries;
        }
        Ok(Some(check))
    }

    /// As JSON.
    pub fn to_json(&self) -> Result<Vec<u8>, ConfigError> {
        Ok(serde_json::to_vec(self)?)
    }

    /// Applies a change in a Containerfile's words, such as `CMD ["sh"]` or `ENV A=b`.
    ///
    /// # Errors
    /// [`ConfigError::Change`] with what is allowed.
    pub fn apply(&mut self, change: &str) -> Result<(), ConfigError> {
        let bad = |rule| ConfigError::Change {
            change: change.chars().take(120).collect(),
            rule,
        };
        let (instruction, value) = change
            .trim()
            .split_once([' ', '='])
            .map(|(instruction, value)| (instruction.to_ascii_uppercase(), value.trim()))
            .ok_or_else(|| bad("write INSTRUCTION VALUE"))?;
        let run = &mut self.config;
        match instruction.as_str() {
            "CMD" => run.cmd = command(value).map_err(bad)?,
            "ENTRYPOINT" => run.entrypoint = command(value).map_err(bad)?,
            "ENV" => {
                for (name, value) in pairs(value).map_err(bad)? {
                    run.env
                        .retain(|known| known.split('=').next() != Some(&name));
                    run.env.push(format!("{name}={value}"));
                }
            }
            "LABEL" => run.labels.extend(pairs(value).map_err(bad)?),
            "EXPOSE" => {
                for port in value.split_whitespace() {
                    let port = if port.contains('/') {
                        port.to_owned()
                    } else {
                        format!("{port}/tcp")
                    };
                    run.exposed_ports.insert(port, serde_json::json!({}));
                }
            }
            "VOLUME" => {
                let volumes = if value.starts_with('[') {
                    serde_json::from_str(value).or(Err(bad("write VOLUME [\"/path\"]")))?
                } else {
                    value
                        .split_whitespace()
                        .map(str::to_owned)
                        .collect::<Vec<String>>()
                };
                run.volumes.extend(
                    volumes
                        .into_iter()
                        .map(|volume| (volume, serde_json::json!({}))),
                );
            }
            "USER" => value.clone_into(&mut run.user),
            "WORKDIR" => {
                if !value.starts_with('/') {
                    return Err(bad("a working directory is an absolute path"));
                }
                value.clone_into(&mut run.working_dir);
            }
            "STOPSIGNAL" => value.clone_into(&mut run.stop_signal),
            "ONBUILD" => run.on_build.push(value.to_owned()),
            _ => {
                return Err(bad(
                    "use CMD, ENTRYPOINT, ENV, EXPOSE, LABEL, ONBUILD, STOPSIGNAL, USER, VOLUME or WORKDIR",
                ));
            }
        }
        self.check()
    }
}

/// A command: a JSON list, or a line for a shell.
fn command(value: &str) -> Result<Vec<String>, &'static str> {
    if value.starts_with('[') {
        return serde_json::from_str(value).or(Err("a list is JSON: [\"program\", \"argument\"]"));
    }
    if value.is_empty() {
        return Ok(Vec::new());
    }
    Ok(vec!["/bin/sh".into(), "-c".into(), value.into()])
}

/// `NAME=value NAME="a value"`, or the old `NAME value`.
fn pairs(value: &str) -> Result<Vec<(String, String)>, &'static str> {
    const FORM: &str = "write NAME=value";
    if !value
        .split_whitespace()
        .next()
        .is_some_and(|first| first.contains('='))
    {
        let (name, value) = value.split_once(' ').ok_or(FORM)?;
        return Ok(vec![(name.to_owned(), value.trim().to_owned())]);
    }
    let mut words: Vec<String> = Vec::new();
    let mut word = String::new();
    let mut quote = None;
    let mut characters = value.chars();
    while let Some(c) = characters.next() {
        match (c, quote) {
            ('\\', None | Some('"')) => word.extend(characters.next()),
            (c, Some(open)) if c == open => quote = None,
            ('"' | '\'', None) => quote = Some(c),
            (c, None) if c.is_whitespace() => {
                if !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
            }
            (c, _) => word.push(c),
        }
    }
    if quote.is_some() {
        return Err("a quote is not closed");
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
        .into_iter()
        .map(|word| match word.split_once('=') {
            Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
            _ => Err(FORM),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn docker_configurations_with_nulls_are_read() {
        let json = br#"{"architecture":"amd64","os":"linux","config":{"Cmd":["sh"],"Env":["PATH=/bin"],
            "Entrypoint":null,"Volumes":null,"Labels":null,"Healthcheck":{"Test":["NONE"]},"ArgsEscaped":true},
            "rootfs":{"type":"layers","diff_ids":[]},"history":null,"container_config":{}}"#;
        let config = ImageConfig::parse(json).unwrap();
        assert_eq!(config.config.cmd, ["sh"]);
        let config =
            ImageConfig::parse(br#"{"config":null,"rootfs":{"type":"layers","diff_ids":[]}}"#);
        assert!(config.is_ok());
    }

    #[test]
    fn h18_h19_h22_odd_configurations_are_refused_by_field() {
        let long = format!(
            r#"{{"config":{{"Env":[{}"A=b"]}}}}"#,
            r#""A=b","#.repeat(10_000)
        );
        for (json, field) in [
            (r#"{"config":{"Env":["NAME"]}}"#, "Env"),
            (r#"{"config":{"Env":["=x"]}}"#, "Env"),
            (r#"{"config":{"Env":["A=\u0000"]}}"#, "Env"),
            (r#"{"config":{"StopSignal":"SIGFOO"}}"#, "StopSignal"),
            (
                r#"{"config":{"ExposedPorts":{"99999/tcp":{}}}}"#,
                "ExposedPorts",
            ),
            (r#"{"config":{"Cmd":["\u0000"]}}"#, "Cmd"),
            (long.as_str(), "Env"),
        ] {
            let error = ImageConfig::parse(json.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(field), "{error}");
        }
        assert!(ImageConfig::parse(b"{").is_err());
        let deep = format!("{}{}", r#"{"a":"#.repeat(200), "1");
        assert!(
            ImageConfig::parse(deep.as_bytes()).is_err(),
            "nesting has a limit"
        );
    }

    #[test]
    fn changes_are_applied_as_podman_does() {
        let mut config = ImageConfig::default();
        for change in [
            r#"CMD ["a", "b"]"#,
            "cmd=echo hi",
            r#"ENTRYPOINT ["/e"]"#,
            "ENV A=1 B=\"two words\" C='x'",
            "ENV A 2 and more",
            "LABEL k=v",
            "EXPOSE 80 53/udp",
            "VOLUME /data",
            "USER app",
            "WORKDIR /srv",
            "STOPSIGNAL SIGINT",
            "ONBUILD RUN x",
        ] {
            config.apply(change).unwrap();
        }
        let run = &config.config;
        assert_eq!(run.cmd, ["/bin/sh", "-c", "echo hi"]);
        assert_eq!(run.env, ["B=two words", "C=x", "A=2 and more"]);
        assert_eq!(
            run.exposed_ports.keys().collect::<Vec<_>>(),
            ["53/udp", "80/tcp"]
        );
        assert_eq!(config.stop_signal().unwrap(), Some(Signal::INT));
        for bad in [
            "",
            "CMD",
            "RUN x",
            "ENV novalue",
            "WORKDIR rel",
            "STOPSIGNAL nope",
            "CMD [x",
            "ENV A=\"x",
        ] {
            assert!(config.clone().apply(bad).is_err(), "{bad}");
        }
    }
}
