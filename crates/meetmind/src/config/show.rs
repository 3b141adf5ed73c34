//! `meetmind config`: what is in force and where it came from, without the secrets.

use std::fmt::Write as _;

use anyhow::Result;
use toml::Value;

use super::Sources;
use super::layers::Layers;

/// Keys whose values are never shown.
const SECRETS: [&str; 10] = [
    "metrics_token",
    "livekit.api_key",
    "livekit.api_secret",
    "supabase.public_key",
    "supabase.secret_key",
    "providers.openai_api_key",
    "providers.anthropic_api_key",
    "providers.gemini_api_key",
    "providers.mem0_api_key",
    "database.url",
];

/// Every setting, its value and its origin, as lines of a TOML file.
pub(crate) fn show(sources: &Sources) -> Result<String> {
    let layers = Layers::read(sources)?;
    let mut text = String::new();
    let (top, sectioned): (Vec<_>, Vec<_>) = layers
        .values
        .iter()
        .partition(|(key, _)| !key.contains('.'));
    let mut section = "";
    for (key, (value, origin)) in top.into_iter().chain(sectioned) {
        let name = match key.split_once('.') {
            None => key.as_str(),
            Some((of, name)) => {
                if of != section {
                    section = of;
                    let _ = writeln!(text, "\n[{section}]");
                }
                name
            }
        };
        let line = format!("{name} = {}", masked(key, value));
        let _ = writeln!(text, "{line:<44} # {origin}");
    }
    Ok(text)
}

/// The value as it may be shown. Of a database address everything but the password stays.
fn masked(key: &str, value: &Value) -> String {
    match value {
        Value::String(text) if text.is_empty() => "\"\"".to_owned(),
        Value::String(text) if key == "database.url" => {
            Value::String(without_password(text)).to_string()
        }
        Value::String(text) if key.ends_with("_url") || key.ends_with(".url") => {
            Value::String(without_password(text)).to_string()
        }
        _ if SECRETS.contains(&key) => "\"(set, not shown)\"".to_owned(),
        value => value.to_string(),
    }
}

/// An address without the password in it, for people to read.
pub(crate) fn without_password(address: &str) -> String {
    match url::Url::parse(address) {
        Ok(mut url) => {
            if url.password().is_some() {
                // Fails only for addresses that cannot hold one.
                let _ = url.set_password(Some("***"));
            }
            let hidden: Vec<(String, String)> = url
                .query_pairs()
                .map(|(name, value)| {
                    let value = if name == "password" {
                        "***".into()
                    } else {
                        value
                    };
                    (name.into_owned(), value.into_owned())
                })
                .collect();
            if hidden.iter().any(|(name, _)| name == "password") {
                url.query_pairs_mut().clear().extend_pairs(hidden);
            }
            url.to_string()
        }
        Err(_) => "(not an address, not shown)".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_not_shown_and_origins_are() {
        let sources = Sources::of_variables(&[
            (
                "DATABASE_URL",
                "postgres://ada:s3cret@db.example/meetmind?password=s3cret",
            ),
            ("LIVEKIT_API_SECRET", "s3cret"),
            ("SUPABASE_SERVICE_ROLE_KEY", "s3cret"),
            ("MEETMIND_METRICS_TOKEN", "s3cret"),
            ("OPENAI_BASE_URL", "https://u:s3cret@models.example/v1"),
            ("OPENAI_API_KEY", "s3cret"),
            ("ANTHROPIC_API_KEY", "s3cret"),
            ("GEMINI_API_KEY", "s3cret"),
            ("MEM0_API_KEY", "s3cret"),
        ]);
        let text = show(&sources).expect("readable");
        assert!(!text.contains("s3cret"), "{text}");
        assert!(
            text.contains("db.example") && text.contains("# DATABASE_URL"),
            "{text}"
        );
        assert!(text.contains("# default"));
    }

    #[test]
    fn every_key_that_sounds_secret_is_on_the_list() {
        let layers = Layers::read(&Sources::default()).expect("the defaults");
        for key in layers.values.keys() {
            let sounds = ["secret", "token", "api_key", "_key", "password"]
                .iter()
                .any(|word| key.ends_with(word));
            assert_eq!(
                sounds,
                SECRETS.contains(&key.as_str()) && key != "database.url",
                "{key}"
            );
        }
    }
}
