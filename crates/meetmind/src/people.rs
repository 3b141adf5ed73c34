//! `meetmind user`: accounts, through the API as the system itself, in this process; and the keys that
//! sign what they carry.

use std::process::ExitCode;

use anyhow::{Context, Result};
use meetmind_app::App;
use meetmind_core::{Actor, Id, Proof, SessionId, UserId, UserRole};
use serde_json::{Value, json};

use crate::api::{Api, items, text};
use crate::cli::UserCommand;
use crate::config::{Config, Sources};
use crate::data_dir;
use crate::server::{open_app, open_store};

/// The use cases in this process, on the data that the configuration means. Works beside a running
/// server: both engines take two processes.
async fn open_here(config: &Config, sources: &Sources) -> Result<App> {
    let folder = config.data_dir(sources)?;
    data_dir::make(&folder)?;
    let mut config = config.clone();
    if let Some(url) = data_dir::served_at(&folder) {
        // The server may have been started with other flags than this command: links are for it.
        config.public_url = url;
    }
    let store = open_store(&config, &folder).await?;
    open_app(&config, &folder, store, config.listen).await
}

/// The API over them.
async fn here(config: &Config, sources: &Sources, actor: Actor) -> Result<Api> {
    let app = open_here(config, sources).await?;
    Ok(Api::here(meetmind_server::router_as(
        app,
        &config.server(),
        actor,
    )))
}

/// The API in this process as the person with this address.
pub(crate) async fn as_user(config: &Config, sources: &Sources, email: &str) -> Result<Api> {
    let system = here(config, sources, Actor::System).await?;
    let user = find(&system, email).await?;
    let user_id: UserId = text(&user, "id")?.parse()?;
    let actor = Actor::User {
        user_id,
        role: UserRole::Member,
        // Whoever may read the data directory may act for everybody in it; there is no session to name.
        proof: Proof::Session(SessionId::from_uuid(user_id.uuid())),
    };
    here(config, sources, actor).await
}

/// Runs one of the commands.
pub(crate) async fn user(sources: &Sources, command: UserCommand) -> Result<ExitCode> {
    let config = Config::load(sources)?;
    let api = here(&config, sources, Actor::System).await?;
    match command {
        UserCommand::List => list(&api).await?,
        UserCommand::Create { email, name, admin } => {
            let name =
                name.unwrap_or_else(|| email.split('@').next().unwrap_or_default().to_owned());
            let role = if admin { "admin" } else { "member" };
            let body = json!({"email": email, "name": name, "role": role});
            let made = api.post("/api/admin/users", body).await?;
            let user = if made["user"].is_object() {
                &made["user"]
            } else {
                &made
            };
            println!("{} {}", text(user, "id")?, text(user, "email")?);
            print_link(&api, user, &made).await?;
            note_where(&config, sources)?;
        }
        UserCommand::Disable { email } => change(&api, &email, json!({"disabled": true})).await?,
        UserCommand::Enable { email } => change(&api, &email, json!({"disabled": false})).await?,
        UserCommand::Promote { email } => change(&api, &email, json!({"role": "admin"})).await?,
        UserCommand::Demote { email } => change(&api, &email, json!({"role": "member"})).await?,
        UserCommand::Reset { email } => {
            let user = find(&api, &email).await?;
            print_link(&api, &user, &Value::Null).await?;
            note_where(&config, sources)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Runs `config rotate-key`.
pub(crate) async fn rotate_key(sources: &Sources, forget: bool) -> Result<ExitCode> {
    let config = Config::load(sources)?;
    let app = open_here(&config, sources).await?;
    app.signing_key_rotate(&app.system_ctx(), forget).await?;
    let effect = if forget {
        "nothing counts any more that was signed with the one before: programs refresh their tokens, pages sign in again"
    } else {
        "what was signed with the one before counts until it ends, or until the next change of the key"
    };
    println!("there is a new signing key; {effect}");
    if data_dir::is_locked(&config.data_dir(sources)?) {
        println!("restart the server: it signs with the old key until then");
    }
    Ok(ExitCode::SUCCESS)
}

/// Runs `config livekit`: the three lines that LiveKit's own tools, servers and agents read.
pub(crate) async fn livekit(sources: &Sources) -> Result<ExitCode> {
    let config = Config::load(sources)?;
    let (url, (key, secret)) = match config.livekit_cluster() {
        Some((url, pair)) => (url, pair),
        None => {
            let app = open_here(&config, sources).await?;
            let pair = match config.livekit_pair() {
                Some(pair) => pair,
                None => app.own_key_pair().await?,
            };
            (app.rooms_url(), pair)
        }
    };
    println!("LIVEKIT_URL={url}\nLIVEKIT_API_KEY={key}\nLIVEKIT_API_SECRET={secret}");
    Ok(ExitCode::SUCCESS)
}

async fn list(api: &Api) -> Result<()> {
    let mut cursor = String::new();
    loop {
        let page = api
            .get(&format!("/api/admin/users?limit=100{cursor}"))
            .await?;
        for user in items(&page) {
            println!(
                "{}  {:<6}  {:<8}  {}",
                text(&user, "id")?,
                text(&user, "role")?,
                if user["disabled_at"].is_null() {
                    "open"
                } else {
                    "disabled"
                },
                text(&user, "email")?
            );
        }
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return Ok(()),
        }
    }
}

/// The account with this address.
async fn find(api: &Api, email: &str) -> Result<Value> {
    let wanted = email.trim().to_lowercase();
    let mut cursor = String::new();
    loop {
        let page = api
            .get(&format!("/api/admin/users?limit=100{cursor}"))
            .await?;
        let found = items(&page)
            .into_iter()
            .find(|user| user["email"].as_str() == Some(wanted.as_str()));
        match (found, page["next_cursor"].as_str()) {
            (Some(user), _) => return Ok(user),
            (None, Some(next)) => cursor = format!("&cursor={next}"),
            (None, None) => {
                return Err(anyhow::anyhow!(
                    "there is no account with the address {email}"
                ));
            }
        }
    }
}

async fn change(api: &Api, email: &str, patch: Value) -> Result<()> {
    let user = find(api, email).await?;
    let path = format!("/api/admin/users/{}", text(&user, "id")?);
    let user = api.patch(&path, patch).await?;
    println!(
        "{}: {}, {}",
        text(&user, "email")?,
        text(&user, "role")?,
        if user["disabled_at"].is_null() {
            "open"
        } else {
            "disabled"
        }
    );
    Ok(())
}

/// Prints the link with which the person sets a password; it works once.
async fn print_link(api: &Api, user: &Value, made: &Value) -> Result<()> {
    let link = match link_in(made) {
        Some(link) => link,
        None => {
            let path = format!("/api/admin/users/{}/reset-link", text(user, "id")?);
            let answer = api.post(&path, json!({})).await?;
            link_in(&answer).context("the answer has no link")?
        }
    };
    println!("{link}");
    Ok(())
}

/// Says so when the link's address is a guess.
fn note_where(config: &Config, sources: &Sources) -> Result<()> {
    let folder = config.data_dir(sources)?;
    if config.public_url.is_empty() && data_dir::served_at(&folder).is_none() {
        eprintln!(
            "note: no server runs on {} now; the link is for one that listens on {}",
            folder.display(),
            config.listen
        );
    }
    Ok(())
}

/// The link of an answer that is one, or that holds one.
fn link_in(answer: &Value) -> Option<String> {
    [answer, &answer["reset_link"]]
        .into_iter()
        .find_map(|value| value["url"].as_str())
        .map(str::to_owned)
}
