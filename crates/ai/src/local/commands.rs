//! Commands typed in chat or spoken whole, in English and Swedish.

use super::words;

/// What a line asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// `@name question`: a question put to a participant or an agent by name.
    Ask {
        /// The name after `@`, as typed.
        name: String,
        /// What follows it.
        question: String,
    },
    /// `/task …`: an action item.
    Task(String),
    /// `/decide …`: a decision.
    Decide(String),
    /// `/note …`: a note.
    Note(String),
    /// `/remember …`: something to keep across meetings.
    Remember(String),
    /// `/summary`, "what did I miss": the notes so far.
    Summary,
    /// `/topics`: the topics so far.
    Topics,
    /// "next topic": the agenda moves on.
    NextTopic,
    /// "previous topic": the agenda moves back.
    PreviousTopic,
    /// "what did we decide about …": the decisions, about something when it was named.
    Decisions(Option<String>),
    /// A slash command that does not exist, without the slash; also one that lacks its text.
    Unknown(String),
}

/// The command in a line of chat or a spoken phrase; none for ordinary talk.
///
/// Spoken commands are taken only when they are the whole phrase, so that talk about "the next topic" moves
/// nothing.
#[must_use]
pub fn typed_command(text: &str) -> Option<Command> {
    let text = text.trim();
    if let Some(rest) = text.strip_prefix('/') {
        let (name, argument) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
        // "/usr/bin" and "//" are no commands.
        let is_name = !name.is_empty()
            && name
                .chars()
                .all(|c| c.is_alphanumeric() || c == '-' || c == '_');
        return is_name.then(|| slash(name, argument.trim()));
    }
    if let Some(rest) = text.strip_prefix('@') {
        let (name, question) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
        let name = name.trim_end_matches([',', ':']);
        let question = question.trim();
        let asked = !name.is_empty()
            && !question.is_empty()
            && name
                .chars()
                .all(|c| c.is_alphanumeric() || "-_.'".contains(c));
        return asked.then(|| Command::Ask {
            name: name.to_owned(),
            question: question.to_owned(),
        });
    }
    spoken(text)
}

fn slash(name: &str, argument: &str) -> Command {
    let lower = name.to_lowercase();
    let with_text: Option<fn(String) -> Command> = match lower.as_str() {
        "task" | "todo" | "action" | "uppgift" => Some(Command::Task),
        "decide" | "decision" | "beslut" | "besluta" => Some(Command::Decide),
        "note" | "anteckning" | "anteckna" | "notera" => Some(Command::Note),
        "remember" | "minns" | "kom-ihåg" => Some(Command::Remember),
        _ => None,
    };
    match (lower.as_str(), with_text) {
        (_, Some(make)) if !argument.is_empty() => make(argument.to_owned()),
        ("summary" | "sammanfattning" | "sammanfatta", _) => Command::Summary,
        ("topics" | "ämnen", _) => Command::Topics,
        ("next" | "nästa", _) => Command::NextTopic,
        ("previous" | "prev" | "föregående", _) => Command::PreviousTopic,
        ("decisions", _) => Command::Decisions((!argument.is_empty()).then(|| argument.to_owned())),
        _ => Command::Unknown(name.to_owned()),
    }
}

fn spoken(text: &str) -> Option<Command> {
    // A command is short; a transcript is not searched for one.
    if text.len() > 200 {
        return None;
    }
    let found = words::words(text);
    let lower: Vec<String> = found.iter().map(|w| words::lower(w.text)).collect();
    let polite = |w: &String| {
        matches!(
            w.as_str(),
            "please" | "okay" | "ok" | "tack" | "nu" | "så" | "now" | "so"
        )
    };
    let start = lower.iter().take_while(|w| polite(w)).count();
    let end = lower.len()
        - lower[start..]
            .iter()
            .rev()
            .take_while(|w| polite(w))
            .count();
    let phrase = lower[start..end].join(" ");
    match phrase.as_str() {
        "next topic" | "next item" | "nästa ämne" | "nästa punkt" => {
            return Some(Command::NextTopic);
        }
        "previous topic" | "previous item" | "föregående ämne" | "föregående punkt"
        | "förra ämnet" => {
            return Some(Command::PreviousTopic);
        }
        "what did i miss" | "vad har jag missat" | "vad missade jag" => {
            return Some(Command::Summary);
        }
        _ => {}
    }
    for opener in [
        "what did we decide",
        "what have we decided",
        "vad bestämde vi",
        "vad har vi bestämt",
        "vad beslutade vi",
    ] {
        let Some(rest) = phrase.strip_prefix(opener) else {
            continue;
        };
        if !(rest.is_empty() || rest.starts_with(' ')) {
            continue;
        }
        let mut skip = start + opener.split(' ').count();
        while lower.get(skip).is_some_and(|w| {
            matches!(
                w.as_str(),
                "about" | "on" | "regarding" | "for" | "the" | "om" | "kring" | "angående"
            )
        }) {
            skip += 1;
        }
        let about = (skip < end).then(|| found[skip].start..found[end - 1].end);
        return Some(Command::Decisions(about.map(|span| text[span].to_owned())));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_read_in_both_languages() {
        let ask = |name: &str, question: &str| Command::Ask {
            name: name.into(),
            question: question.into(),
        };
        for (text, command) in [
            (
                "@Ada, what is the budget?",
                ask("Ada", "what is the budget?"),
            ),
            ("@åsa när börjar vi?", ask("åsa", "när börjar vi?")),
            (
                "/task send the report",
                Command::Task("send the report".into()),
            ),
            (
                "/UPPGIFT skicka rapporten",
                Command::Task("skicka rapporten".into()),
            ),
            ("/decide we ship", Command::Decide("we ship".into())),
            ("/note 🎉 done", Command::Note("🎉 done".into())),
            (
                "/remember Anna likes tea",
                Command::Remember("Anna likes tea".into()),
            ),
            (" /summary ", Command::Summary),
            ("/ämnen", Command::Topics),
            ("Next topic, please.", Command::NextTopic),
            ("Nästa ämne!", Command::NextTopic),
            ("Okay, föregående ämne.", Command::PreviousTopic),
            (
                "What did we decide about the Battery case?",
                Command::Decisions(Some("Battery case".into())),
            ),
            (
                "Vad bestämde vi om priset?",
                Command::Decisions(Some("priset".into())),
            ),
            ("what did we decide?", Command::Decisions(None)),
            ("/dance now", Command::Unknown("dance".into())),
            ("/task", Command::Unknown("task".into())),
        ] {
            assert_eq!(typed_command(text), Some(command), "{text}");
        }
    }

    #[test]
    fn talk_is_no_command() {
        for text in [
            "",
            "/",
            "//",
            "/usr/bin/env x",
            "@",
            "@ada",
            "a @ada b",
            "The next topic is hard.",
            "we decided",
            "what did we decidedly say",
            "😀",
        ] {
            assert_eq!(typed_command(text), None, "{text}");
        }
    }
}
