//! Which settings go together. What fits no mode stops the start; what has no effect yet is said.

use anyhow::{Result, bail, ensure};
use url::Url;

use super::{Config, TlsMode};

impl Config {
    /// Checks the values and how they go together, and collects the notes.
    pub(super) fn check(&mut self) -> Result<()> {
        self.check_addresses()?;
        self.check_tls()?;
        self.check_database()?;
        self.check_livekit()?;
        self.check_supabase()?;
        self.check_numbers()?;
        self.note_providers();
        Ok(())
    }

    fn check_addresses(&mut self) -> Result<()> {
        if !self.public_url.is_empty() {
            let url = web_address(&self.public_url);
            ensure!(
                url.is_some_and(|url| url.query().is_none() && url.fragment().is_none()),
                "public_url must be an address such as https://meet.example.com"
            );
        }
        self.server().check().map_err(anyhow::Error::msg)
    }

    fn check_tls(&mut self) -> Result<()> {
        let tls = &self.tls;
        match (tls.cert.is_empty(), tls.key.is_empty()) {
            (true, false) => bail!("tls.key is set without tls.cert: set both, or neither"),
            (false, true) => bail!("tls.cert is set without tls.key: set both, or neither"),
            (true, true) => ensure!(
                tls.mode != TlsMode::Files,
                "tls.mode is files, but tls.cert and tls.key name none"
            ),
            (false, false) => ensure!(
                tls.mode != TlsMode::SelfSigned,
                "tls.mode is self-signed, so tls.cert and tls.key have no place: leave them out"
            ),
        }
        let mode = self.tls_mode();
        ensure!(
            mode == TlsMode::Off || !self.public_url.starts_with("http://"),
            "public_url begins with http://, but the port speaks HTTPS (tls.mode): write https://"
        );
        if mode == TlsMode::SelfSigned && self.listen.ip().is_loopback() {
            self.notes.push(format!(
                "tls.mode is self-signed, but {} is reached from this machine only: listen on 0.0.0.0:{} for the local network",
                self.listen,
                self.listen.port()
            ));
        }
        Ok(())
    }

    fn check_database(&mut self) -> Result<()> {
        let url = &self.database.url;
        let known = ["postgres://", "postgresql://", "sqlite:"];
        ensure!(
            url.is_empty() || known.iter().any(|scheme| url.starts_with(scheme)),
            "database.url must begin with postgres:// (or be empty for SQLite in the data directory)"
        );
        Ok(())
    }

    fn check_livekit(&mut self) -> Result<()> {
        let livekit = &self.livekit;
        let (has_key, has_secret) = (!livekit.api_key.is_empty(), !livekit.api_secret.is_empty());
        if has_key != has_secret {
            let (there, missing) = if has_key {
                ("LIVEKIT_API_KEY", "LIVEKIT_API_SECRET")
            } else {
                ("LIVEKIT_API_SECRET", "LIVEKIT_API_KEY")
            };
            bail!("{there} is set without {missing}: set both, or neither");
        }
        for url in &livekit.webhook_urls {
            ensure!(
                web_address(url).is_some(),
                "livekit.webhook_urls must hold addresses such as https://hooks.example.com/livekit"
            );
        }
        ensure!(
            livekit.webhook_urls.len() <= 10,
            "livekit.webhook_urls must hold 10 addresses or fewer"
        );
        if !livekit.url.is_empty() && !livekit.webhook_urls.is_empty() {
            self.notes.push(
                "livekit.webhook_urls is for the server inside: the one at LIVEKIT_URL sends its own"
                    .to_owned(),
            );
        }
        if livekit.url.is_empty() {
            ensure!(
                !has_key || livekit.api_secret.len() >= 32,
                "LIVEKIT_API_SECRET must have 32 characters or more"
            );
            return Ok(());
        }
        ensure!(
            has_key,
            "LIVEKIT_URL is set without LIVEKIT_API_KEY and LIVEKIT_API_SECRET: set all three, or none"
        );
        let scheme = Url::parse(&livekit.url).map(|url| url.scheme().to_owned());
        ensure!(
            scheme.is_ok_and(|scheme| scheme == "ws" || scheme == "wss"),
            "LIVEKIT_URL must begin with ws:// or wss://"
        );
        Ok(())
    }

    fn check_supabase(&mut self) -> Result<()> {
        let supabase = &self.supabase;
        if supabase.url.is_empty() {
            ensure!(
                supabase.public_key.is_empty() && supabase.secret_key.is_empty(),
                "a Supabase key is set without SUPABASE_URL: set the address too, or no key"
            );
            return Ok(());
        }
        ensure!(
            web_address(&supabase.url).is_some(),
            "SUPABASE_URL must be an address such as https://your-project.supabase.co"
        );
        ensure!(
            !supabase.public_key.is_empty(),
            "SUPABASE_URL is set without SUPABASE_ANON_KEY (or SUPABASE_PUBLISHABLE_KEY): set both, or neither"
        );
        self.notes.push(
            "SUPABASE_URL is set, but Supabase Auth is not built yet: accounts are local"
                .to_owned(),
        );
        if self.database.url.is_empty() {
            self.notes.push(
                "SUPABASE_URL does not say where the data goes: it is in SQLite here, unless DATABASE_URL names the project's Postgres"
                    .to_owned(),
            );
        }
        Ok(())
    }

    fn check_numbers(&self) -> Result<()> {
        let within = |name: &str, value: u64, least: u64, most: u64| {
            ensure!(
                (least..=most).contains(&value),
                "{name} must be {least} to {most}"
            );
            Ok(())
        };
        let signed = |value: i64| u64::try_from(value).unwrap_or(0);
        within(
            "http.body_limit_bytes",
            self.http.body_limit_bytes as u64,
            65_536,
            1 << 30,
        )?;
        within(
            "http.max_connections",
            self.http.max_connections as u64,
            1,
            1_000_000,
        )?;
        within("http.header_timeout_s", self.http.header_timeout_s, 1, 300)?;
        within(
            "database.max_connections",
            u64::from(self.database.max_connections),
            2,
            1000,
        )?;
        within(
            "database.acquire_timeout_s",
            self.database.acquire_timeout_s,
            1,
            300,
        )?;
        within(
            "auth.access_token_ttl_s",
            self.auth.access_token_ttl_s,
            60,
            86_400,
        )?;
        within(
            "auth.session_idle_days",
            self.auth.session_idle_days,
            1,
            3650,
        )?;
        within("auth.session_max_days", self.auth.session_max_days, 1, 3650)?;
        within(
            "auth.password_min_length",
            self.auth.password_min_length as u64,
            8,
            64,
        )?;
        within(
            "auth.login_attempts",
            signed(self.auth.login_attempts),
            3,
            100,
        )?;
        within(
            "auth.argon2_memory_kib",
            u64::from(self.auth.argon2_memory_kib),
            19_456,
            1 << 22,
        )?;
        within(
            "auth.argon2_passes",
            u64::from(self.auth.argon2_passes),
            1,
            20,
        )?;
        within(
            "guests.max_per_meeting",
            signed(self.guests.max_per_meeting),
            0,
            10_000,
        )?;
        within(
            "guests.max_per_address_and_hour",
            signed(self.guests.max_per_address_and_hour),
            1,
            1_000_000,
        )?;
        within(
            "agents.max_per_user",
            signed(self.agents.max_per_user),
            1,
            100_000,
        )?;
        within(
            "agents.max_runs_per_user",
            signed(self.agents.max_runs_per_user),
            1,
            100_000,
        )?;
        within(
            "agents.max_runs_per_day",
            signed(self.agents.max_runs_per_day),
            1,
            1_000_000,
        )?;
        within("agents.lease_s", self.agents.lease_s, 3, 600)?;
        within(
            "agents.notes_interval_s",
            self.agents.notes_interval_s,
            1,
            3600,
        )?;
        self.recordings.check()?;
        within(
            "retention.events_days",
            self.retention.events_days,
            1,
            36_500,
        )?;
        within(
            "retention.archive_days",
            self.retention.archive_days,
            1,
            36_500,
        )?;
        within(
            "media.reconnect_window_s",
            self.media.reconnect_window_s,
            1,
            300,
        )?;
        within("outbound.timeout_s", self.outbound.timeout_s, 1, 300)
    }

    fn note_providers(&mut self) {
        let providers = &self.providers;
        let models = [
            ("OPENAI_API_KEY", &providers.openai_api_key),
            ("OPENAI_BASE_URL", &providers.openai_base_url),
            ("ANTHROPIC_API_KEY", &providers.anthropic_api_key),
            ("GEMINI_API_KEY", &providers.gemini_api_key),
        ];
        let set: Vec<&str> = models
            .iter()
            .filter(|(_, value)| !value.is_empty())
            .map(|(name, _)| *name)
            .collect();
        if !set.is_empty() {
            self.notes.push(format!(
                "{} is set, but this version calls no model: notes and answers are quotations",
                set.join(", ")
            ));
        }
        if !self.providers.mem0_api_key.is_empty() {
            self.notes.push(
                "MEM0_API_KEY is set, but this version keeps memories here, not at Mem0".to_owned(),
            );
        }
    }
}

/// The text as an http or https address with a host.
fn web_address(text: &str) -> Option<Url> {
    Url::parse(text)
        .ok()
        .filter(|url| ["http", "https"].contains(&url.scheme()) && url.has_host())
}

#[cfg(test)]
mod tests {
    use super::super::tests::from_variables;

    fn refusal(variables: &[(&str, &str)]) -> String {
        format!("{:#}", from_variables(variables).expect_err("fits no mode"))
    }

    #[test]
    fn what_fits_no_mode_is_refused_in_one_line_that_names_it() {
        let wss = ("LIVEKIT_URL", "wss://x.example");
        let cases: [(&[(&str, &str)], &str); 15] = [
            (&[wss], "LIVEKIT_API_KEY"),
            (&[wss, ("LIVEKIT_API_KEY", "k")], "LIVEKIT_API_SECRET"),
            (&[("LIVEKIT_API_SECRET", "s3cret")], "LIVEKIT_API_KEY"),
            (
                &[
                    ("LIVEKIT_URL", "https://x.example"),
                    ("LIVEKIT_API_KEY", "k"),
                    ("LIVEKIT_API_SECRET", "s3cret"),
                ],
                "wss://",
            ),
            (
                &[("SUPABASE_URL", "https://x.supabase.co")],
                "SUPABASE_ANON_KEY",
            ),
            (&[("SUPABASE_SERVICE_ROLE_KEY", "s3cret")], "SUPABASE_URL"),
            (&[("DATABASE_URL", "mysql://u:s3cret@h/d")], "database.url"),
            (&[("MEETMIND_CORS_ORIGINS", "*")], "cors_origins"),
            (
                &[("MEETMIND_TRUSTED_PROXIES", "10.0.0.0/99")],
                "trusted_proxies",
            ),
            (&[("MEETMIND_TLS_CERT", "s3cret.pem")], "tls.key"),
            (&[("MEETMIND_TLS_KEY", "s3cret.pem")], "tls.cert"),
            (&[("MEETMIND_TLS_MODE", "files")], "tls.cert"),
            (
                &[
                    ("MEETMIND_TLS_MODE", "self-signed"),
                    ("MEETMIND_TLS_CERT", "a"),
                    ("MEETMIND_TLS_KEY", "b"),
                ],
                "tls.cert",
            ),
            (
                &[
                    ("MEETMIND_TLS_MODE", "self-signed"),
                    ("MEETMIND_PUBLIC_URL", "http://meet.example"),
                ],
                "https://",
            ),
            (
                &[("MEETMIND_AUTH_PASSWORD_MIN_LENGTH", "4")],
                "auth.password_min_length",
            ),
        ];
        for (variables, named) in cases {
            let line = refusal(variables);
            assert!(line.contains(named), "{line}");
            assert!(!line.contains('\n') && !line.contains("s3cret"), "{line}");
        }
    }

    #[test]
    fn what_has_no_effect_yet_is_said() {
        let config = from_variables(&[
            ("SUPABASE_URL", "https://x.supabase.co"),
            ("SUPABASE_ANON_KEY", "anon"),
            ("OPENAI_API_KEY", "sk-x"),
            ("MEM0_API_KEY", "m0-x"),
        ])
        .expect("a mode");
        let notes = config.notes.join("\n");
        for part in [
            "accounts are local",
            "SQLite",
            "calls no model",
            "not at Mem0",
        ] {
            assert!(notes.contains(part), "{part}: {notes}");
        }
        assert!(!notes.contains("sk-x") && !notes.contains("m0-x"));
    }

    #[test]
    fn a_pair_without_an_address_is_the_inner_servers_own_and_long_enough() {
        let pair =
            |secret| from_variables(&[("LIVEKIT_API_KEY", "k"), ("LIVEKIT_API_SECRET", secret)]);
        let config = pair("a secret of at least thirty-two bytes").expect("a mode");
        assert!(config.livekit_pair().is_some() && config.media_driver(config.listen).is_some());
        let error = pair("short").expect_err("too short");
        assert!(error.to_string().contains("LIVEKIT_API_SECRET"), "{error}");
    }

    #[test]
    fn a_whole_livekit_set_is_used() {
        let config = from_variables(&[
            ("LIVEKIT_URL", "wss://x.example"),
            ("LIVEKIT_API_KEY", "k"),
            ("LIVEKIT_API_SECRET", "s"),
        ])
        .expect("a mode");
        assert!(config.app(config.listen).livekit.is_some() && config.notes.is_empty());
    }
}
