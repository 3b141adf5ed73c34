//! Defaults, file, `.env`, environment, flags: read into one table, each value with its origin.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::Deserialize as _;
use toml::{Table, Value};

use super::{Config, DEFAULTS, dotenv};

/// Variables under names that others chose, and the keys they set.
pub(super) const VENDOR_NAMES: [(&str, &str); 14] = [
    ("DATABASE_URL", "database.url"),
    ("LIVEKIT_URL", "livekit.url"),
    ("LIVEKIT_API_KEY", "livekit.api_key"),
    ("LIVEKIT_API_SECRET", "livekit.api_secret"),
    ("SUPABASE_URL", "supabase.url"),
    ("SUPABASE_ANON_KEY", "supabase.public_key"),
    ("SUPABASE_PUBLISHABLE_KEY", "supabase.public_key"),
    ("SUPABASE_SERVICE_ROLE_KEY", "supabase.secret_key"),
    ("SUPABASE_SECRET_KEY", "supabase.secret_key"),
    ("OPENAI_API_KEY", "providers.openai_api_key"),
    ("OPENAI_BASE_URL", "providers.openai_base_url"),
    ("ANTHROPIC_API_KEY", "providers.anthropic_api_key"),
    ("GEMINI_API_KEY", "providers.gemini_api_key"),
    ("MEM0_API_KEY", "providers.mem0_api_key"),
];

/// Names under our prefix that are no settings of the program.
const OTHER_NAMES: [&str; 4] = [
    "MEETMIND_CONFIG",
    "MEETMIND_TOKEN",
    "MEETMIND_TEST_REQUIRE",
    "MEETMIND_TEST_DATA",
];

/// What the layers are read from.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sources {
    /// The file named by --config.
    pub(crate) file: Option<PathBuf>,
    /// The folder of `.env` and `meetmind.toml`; none is read without it.
    pub(crate) folder: Option<PathBuf>,
    /// The environment.
    pub(crate) variables: BTreeMap<String, String>,
    /// Key and value of each flag that was given.
    pub(crate) flags: Vec<(&'static str, String)>,
}

impl Sources {
    /// The working directory and the environment of this process.
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place where the program reads its environment"
    )]
    pub(crate) fn of_process() -> Self {
        Self {
            file: None,
            folder: std::env::current_dir().ok(),
            // A variable that is no text is none of ours.
            variables: std::env::vars_os()
                .filter_map(|(name, value)| {
                    Some((name.into_string().ok()?, value.into_string().ok()?))
                })
                .collect(),
            flags: Vec::new(),
        }
    }

    #[cfg(test)]
    pub(super) fn of_variables(variables: &[(&str, &str)]) -> Self {
        Self {
            variables: variables
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
            ..Self::default()
        }
    }

    /// One variable; an empty one counts as absent.
    pub(crate) fn variable(&self, name: &str) -> Option<&str> {
        self.variables
            .get(name)
            .map(String::as_str)
            .filter(|value| !value.is_empty())
    }
}

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Origin {
    Default,
    File(PathBuf),
    Dotenv(String),
    Variable(String),
    Flag(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Default => f.write_str("default"),
            Origin::File(path) => write!(f, "{}", path.display()),
            Origin::Dotenv(name) => write!(f, "{name} in .env"),
            Origin::Variable(name) => f.write_str(name),
            Origin::Flag("tls.mode") => f.write_str("--tls"),
            Origin::Flag(key) => write!(f, "--{}", key.replace(['_', '.'], "-")),
        }
    }
}

/// Every key with its value and where that came from.
#[derive(Debug, Clone)]
pub(super) struct Layers {
    pub(super) values: BTreeMap<String, (Value, Origin)>,
}

impl Layers {
    pub(super) fn read(sources: &Sources) -> Result<Self> {
        let mut layers = Self {
            values: flat(&defaults()?)
                .into_iter()
                .map(|(key, value)| (key, (value, Origin::Default)))
                .collect(),
        };
        let file = sources
            .file
            .clone()
            .or_else(|| sources.variable("MEETMIND_CONFIG").map(PathBuf::from));
        match (file, &sources.folder) {
            (Some(file), _) => layers.add_file(&file)?,
            (None, Some(folder)) if folder.join("meetmind.toml").is_file() => {
                layers.add_file(&folder.join("meetmind.toml"))?;
            }
            (None, _) => {}
        }
        if let Some(folder) = &sources.folder {
            let path = folder.join(".env");
            if path.is_file() {
                let text = fs::read_to_string(&path).context(".env cannot be read")?;
                let pairs = dotenv::parse(&text).context(".env")?;
                layers.add_variables(pairs.into_iter(), Origin::Dotenv)?;
            }
        }
        layers.add_variables(sources.variables.clone().into_iter(), Origin::Variable)?;
        for (key, text) in &sources.flags {
            layers.set_text(key, text, Origin::Flag(key))?;
        }
        Ok(layers)
    }

    /// All values together.
    pub(super) fn config(&self) -> Result<Config> {
        let mut whole = Table::new();
        for (key, (value, _)) in &self.values {
            match key.split_once('.') {
                None => {
                    whole.insert(key.clone(), value.clone());
                }
                Some((section, key)) => {
                    let section = whole
                        .entry(section)
                        .or_insert_with(|| Value::Table(Table::new()));
                    if let Value::Table(section) = section {
                        section.insert(key.to_owned(), value.clone());
                    }
                }
            }
        }
        // The shape is known here, so an error can only be about a value.
        Config::deserialize(whole).map_err(|error| {
            let message = error.message().to_owned();
            let culprit = self.culprit();
            anyhow::anyhow!("{culprit}{message}")
        })
    }

    /// Names the key of a value that its type refuses, by trying each against the defaults.
    fn culprit(&self) -> String {
        for (key, (value, origin)) in &self.values {
            if *origin == Origin::Default {
                continue;
            }
            let Ok(mut trial) = defaults() else { break };
            let slot = match key.split_once('.') {
                None => trial.get_mut(key.as_str()),
                Some((section, key)) => trial
                    .get_mut(section)
                    .and_then(Value::as_table_mut)
                    .and_then(|section| section.get_mut(key)),
            };
            if let Some(slot) = slot {
                *slot = value.clone();
            }
            if Config::deserialize(trial).is_err() {
                return format!("{key} (from {origin}): ");
            }
        }
        String::new()
    }

    fn add_file(&mut self, path: &Path) -> Result<()> {
        let shown = path.display();
        let text = fs::read_to_string(path).with_context(|| format!("{shown} cannot be read"))?;
        let table: Table = text.parse().map_err(|error: toml::de::Error| {
            // Without the line itself, which may hold a secret.
            let line = error.span().map_or(0, |span| {
                text[..span.start.min(text.len())].lines().count().max(1)
            });
            anyhow::anyhow!("{shown}, line {line}: {}", error.message())
        })?;
        for (key, value) in flat(&table) {
            let Some((known, _)) = self.values.get(&key) else {
                bail!("{shown}: unknown key `{key}`{}", self.nearest(&key));
            };
            if known.type_str() != value.type_str() {
                bail!("{shown}: {key} must be {}", type_word(known));
            }
            self.values
                .insert(key, (value, Origin::File(path.to_path_buf())));
        }
        Ok(())
    }

    /// Vendors' names first, so that our own name for the same key wins.
    fn add_variables(
        &mut self,
        pairs: impl Iterator<Item = (String, String)>,
        origin: impl Fn(String) -> Origin,
    ) -> Result<()> {
        let pairs: Vec<(String, String)> = pairs.collect();
        for (name, value) in pairs.iter().filter(|(_, value)| !value.is_empty()) {
            if let Some((_, key)) = VENDOR_NAMES.iter().find(|(vendor, _)| vendor == name) {
                self.set_text(key, value, origin(name.clone()))?;
            }
        }
        for (name, value) in &pairs {
            if !name.starts_with("MEETMIND_") || OTHER_NAMES.contains(&name.as_str()) {
                continue;
            }
            let Some(key) = self.key_of(name) else {
                let near = name.trim_start_matches("MEETMIND_").to_lowercase();
                let near = self
                    .nearest_key(&near)
                    .map(|key| format!(": did you mean {}?", variable_of(&key)));
                bail!("unknown setting {name}{}", near.unwrap_or_default());
            };
            if !value.is_empty() {
                self.set_text(&key, value, origin(name.clone()))?;
            }
        }
        Ok(())
    }

    fn key_of(&self, variable: &str) -> Option<String> {
        self.values
            .keys()
            .find(|key| variable_of(key) == variable)
            .cloned()
    }

    /// Sets a key from text, in the type its default has.
    fn set_text(&mut self, key: &str, text: &str, origin: Origin) -> Result<()> {
        let Some((known, _)) = self.values.get(key) else {
            bail!("unknown setting {key}");
        };
        let text = text.trim();
        let value = match known {
            Value::Integer(_) => text.parse().ok().map(Value::Integer),
            Value::Boolean(_) => match text.to_ascii_lowercase().as_str() {
                "true" | "1" | "yes" | "on" => Some(Value::Boolean(true)),
                "false" | "0" | "no" | "off" => Some(Value::Boolean(false)),
                _ => None,
            },
            Value::Array(_) => Some(Value::Array(
                text.split(',')
                    .map(str::trim)
                    .filter(|entry| !entry.is_empty())
                    .map(|entry| Value::String(entry.to_owned()))
                    .collect(),
            )),
            _ => Some(Value::String(text.to_owned())),
        };
        let Some(value) = value else {
            bail!("{origin} must be {}", type_word(known));
        };
        self.values.insert(key.to_owned(), (value, origin));
        Ok(())
    }

    fn nearest(&self, wrong: &str) -> String {
        self.nearest_key(wrong)
            .map_or_else(String::new, |key| format!(": did you mean `{key}`?"))
    }

    /// The key that is most like a wrong one, when one is alike at all.
    fn nearest_key(&self, wrong: &str) -> Option<String> {
        let plain = |key: &str| key.replace(['.', '_', '-'], "").to_lowercase();
        let wrong = plain(wrong);
        self.values
            .keys()
            .map(|key| (distance(&plain(key), &wrong), key))
            .min()
            .filter(|(distance, key)| *distance <= plain(key).len().max(3) / 3)
            .map(|(_, key)| key.clone())
    }
}

/// The variable that mirrors a key.
pub(super) fn variable_of(key: &str) -> String {
    format!("MEETMIND_{}", key.replace('.', "_").to_uppercase())
}

fn type_word(value: &Value) -> &'static str {
    match value {
        Value::Integer(_) => "a whole number",
        Value::Boolean(_) => "true or false",
        Value::Array(_) => "a list of texts",
        _ => "a text",
    }
}

pub(super) fn defaults() -> Result<Table> {
    DEFAULTS.parse().context("the built-in defaults")
}

/// `section.key` for every value. Sections are one level deep.
fn flat(table: &Table) -> Vec<(String, Value)> {
    let mut found = Vec::new();
    for (key, value) in table {
        match value {
            Value::Table(section) => found.extend(
                section
                    .iter()
                    .map(|(inner, value)| (format!("{key}.{inner}"), value.clone())),
            ),
            value => found.push((key.clone(), value.clone())),
        }
    }
    found
}

/// The number of letters to change, add or leave out (Levenshtein).
fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (at, letter) in left.chars().enumerate() {
        let mut corner = row[0];
        row[0] = at + 1;
        for (place, other) in right.iter().enumerate() {
            let change = corner + usize::from(letter != *other);
            corner = row[place + 1];
            row[place + 1] = change.min(corner + 1).min(row[place] + 1);
        }
    }
    row[right.len()]
}

#[cfg(test)]
#[path = "layers_tests.rs"]
mod tests;
