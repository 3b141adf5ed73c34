//! Views of the same notes for a role: filtered and ordered by relevance, never reworded.

use std::{fmt, str::FromStr, sync::LazyLock};

use serde::{Deserialize, Serialize};

use super::{
    notes::{ActionCandidate, DecisionCandidate, Highlight, Marker, Notes, OpenQuestion, Topic},
    words::{self, Vocabulary},
};

/// Whom a view is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Persona {
    /// What is built and for whom.
    Product,
    /// How it is built.
    Engineering,
    /// What customers see and ask.
    Customer,
    /// Decisions, money, dates, risks.
    Executive,
}

/// A persona name that is not known; holds the name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownPersona(pub String);

impl fmt::Display for UnknownPersona {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "unknown persona {:?}; known: product, engineering, customer, executive",
            self.0
        )
    }
}

impl std::error::Error for UnknownPersona {}

impl FromStr for Persona {
    type Err = UnknownPersona;

    /// Reads a persona's name or one of its aliases, case and surrounding space ignored.
    fn from_str(name: &str) -> Result<Self, Self::Err> {
        match name.trim().to_lowercase().as_str() {
            "product" | "po" | "pm" | "product owner" | "product manager" | "design" | "ux" => {
                Ok(Self::Product)
            }
            "engineering" | "engineer" | "eng" | "dev" | "developer" | "tech" | "technical" => {
                Ok(Self::Engineering)
            }
            "customer" | "cs" | "customer success" | "support" | "sales" | "client" => {
                Ok(Self::Customer)
            }
            "executive" | "exec" | "leadership" | "management" | "ceo" | "cto" | "cfo" => {
                Ok(Self::Executive)
            }
            _ => Err(UnknownPersona(name.to_owned())),
        }
    }
}

impl fmt::Display for Persona {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Product => "product",
            Self::Engineering => "engineering",
            Self::Customer => "customer",
            Self::Executive => "executive",
        })
    }
}

const PRODUCT: &str = "feature features user users design requirement requirements roadmap priority priorities scope \
backlog prototype usability interface button buttons market trend trends target competitor feedback experience story \
mvp launch release persona onboarding look shape colour color style fashion functionality functions remote concept";
const ENGINEERING: &str = "bug bugs deploy deployment api database server performance latency code test tests migration \
architecture build integration security incident outage schema refactor dependency library chip circuit battery \
sensor infrared signal power hardware software format file xml memory storage component components material script \
protocol data pipeline cache query implementation technical technology perl framework annotation parser";
const CUSTOMER: &str = "customer customers client clients user users support complaint complaints contract renewal churn \
onboarding satisfaction request requests feedback sales demo account accounts ticket tickets survey consumer consumers \
buyer buyers people elderly age market price training help refund adoption";
const EXECUTIVE: &str = "budget cost costs revenue profit price risk risks deadline strategy decision decisions target \
quarter plan milestone hire hiring headcount investment partner market competitor competition launch goal goals delay \
blocker priority forecast contract legal compliance euro euros dollars percent million board objective results";

static STEMS: LazyLock<[Vec<String>; 4]> = LazyLock::new(|| {
    let vocabulary = Vocabulary::new(true);
    [PRODUCT, ENGINEERING, CUSTOMER, EXECUTIVE].map(|list| {
        let mut stems: Vec<String> = list
            .split_whitespace()
            .filter_map(|w| vocabulary.stem_of(w))
            .collect();
        stems.sort_unstable();
        stems.dedup();
        stems
    })
});

/// Highlights a view is filled up to when the persona's own words are rare.
const FEWEST_HIGHLIGHTS: usize = 3;

/// The notes as one role reads them: the same items, fewer and in another order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RoleView<Id> {
    /// Whom it is for.
    pub persona: Persona,
    /// The headline of the notes.
    pub headline: String,
    /// Topics that concern the role, most relevant first; all for an executive.
    pub topics: Vec<Topic<Id>>,
    /// Highlights that concern the role, most relevant first; filled up with the best others to three.
    pub highlights: Vec<Highlight<Id>>,
    /// All decisions, most relevant first: a decision concerns everyone.
    pub decisions: Vec<DecisionCandidate<Id>>,
    /// Actions that concern the role; for an executive those with a date or a marker.
    pub actions: Vec<ActionCandidate<Id>>,
    /// Open questions, most relevant first.
    pub questions: Vec<OpenQuestion<Id>>,
}

/// Counts the persona's words in a text.
struct Relevance {
    vocabulary: Vocabulary,
    stems: &'static [String],
}

impl Relevance {
    fn of(&self, text: &str) -> usize {
        let stems = words::words(text)
            .into_iter()
            .filter_map(|w| self.vocabulary.stem_of(&words::lower(w.text)));
        stems
            .filter(|s| self.stems.binary_search(s).is_ok())
            .count()
    }

    /// Items with their relevance, most relevant first, equal ones in their order.
    fn order<T: Clone>(&self, items: &[T], text: impl Fn(&T) -> String) -> Vec<(usize, T)> {
        let mut out: Vec<(usize, T)> = items
            .iter()
            .map(|item| (self.of(&text(item)), item.clone()))
            .collect();
        out.sort_by_key(|(hits, _)| std::cmp::Reverse(*hits));
        out
    }
}

/// The notes filtered and ordered for a role; no text is changed or added.
#[must_use]
pub fn role_view<Id: Clone>(persona: Persona, notes: &Notes<Id>) -> RoleView<Id> {
    let stems: &'static [String] = match persona {
        Persona::Product => &STEMS[0],
        Persona::Engineering => &STEMS[1],
        Persona::Customer => &STEMS[2],
        Persona::Executive => &STEMS[3],
    };
    let relevance = Relevance {
        vocabulary: Vocabulary::new(true),
        stems,
    };
    let executive = persona == Persona::Executive;
    let strip =
        |items: Vec<(usize, Highlight<Id>)>| items.into_iter().map(|(_, h)| h).collect::<Vec<_>>();
    let (mut own, mut others): (Vec<_>, Vec<_>) = relevance
        .order(&notes.highlights, |h| h.text.clone())
        .into_iter()
        .partition(|(hits, _)| *hits > 0);
    others.sort_by(|(_, a), (_, b)| b.score.total_cmp(&a.score));
    others.truncate(FEWEST_HIGHLIGHTS.saturating_sub(own.len()));
    own.append(&mut others);
    let topic_text = |t: &Topic<Id>| t.key_phrases.join(" ");
    let topics = if executive {
        notes.topics.clone()
    } else {
        relevance
            .order(&notes.topics, topic_text)
            .into_iter()
            .filter(|(hits, _)| *hits > 0)
            .map(|(_, t)| t)
            .collect()
    };
    let keep = |hits: usize, a: &ActionCandidate<Id>| {
        if executive {
            a.due.is_some() || a.marker == Marker::Explicit || hits > 0
        } else {
            hits > 0
        }
    };
    RoleView {
        persona,
        headline: notes.headline.clone(),
        topics,
        highlights: strip(own),
        decisions: relevance
            .order(&notes.decisions, |d| d.text.clone())
            .into_iter()
            .map(|(_, d)| d)
            .collect(),
        actions: relevance
            .order(&notes.actions, |a| a.text.clone())
            .into_iter()
            .filter(|(hits, a)| keep(*hits, a))
            .map(|(_, a)| a)
            .collect(),
        questions: relevance
            .order(&notes.questions, |q| q.text.clone())
            .into_iter()
            .map(|(_, q)| q)
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::local::{NotesOptions, Turn, notes};

    #[test]
    fn views_only_filter_and_order() {
        let lines = [
            "I'll deploy the database migration by Friday.",
            "Action: send the customer the refund contract by Monday.",
            "The budget for the quarter is the main risk because the revenue target moved.",
            "The server latency problem is caused by the new cache and the database schema.",
        ];
        let turns: Vec<Turn<usize>> = lines
            .iter()
            .enumerate()
            .map(|(id, text)| Turn {
                id,
                speaker: "Anna".into(),
                text: (*text).into(),
                start_ms: 0,
                end_ms: 0,
            })
            .collect();
        let notes = notes(&turns, &NotesOptions::default());
        let view = role_view(Persona::Engineering, &notes);
        assert_eq!(view.actions.len(), 1);
        assert!(view.actions[0].text.contains("migration"));
        assert!(view.highlights.iter().all(|h| notes.highlights.contains(h)));
        assert!(
            role_view(Persona::Executive, &notes).highlights[0]
                .text
                .contains("budget")
        );
        assert_eq!(" Exec".parse(), Ok(Persona::Executive));
        assert_eq!("PO".parse(), Ok(Persona::Product));
        assert!("dancer".parse::<Persona>().is_err());
    }
}
