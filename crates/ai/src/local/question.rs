//! Reading a question: what it is about, whom it names, and what kind of thing it asks for.

use std::collections::HashSet;

use super::{
    background, due,
    people::People,
    words::{self, Vocabulary},
};

/// A kind of thing that a question can ask for and a passage can tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// What was decided.
    Decision,
    /// Who is to do what.
    Task,
    /// When.
    Time,
    /// How much or how many.
    Amount,
    /// How much money.
    Money,
}

/// One word that an answer must be about.
#[derive(Clone, Debug)]
pub(crate) struct Term {
    pub(crate) stem: String,
    /// The numbers it goes by in what is searched; none when nobody said it, nor a word it is kin to.
    pub(crate) numbers: Vec<u32>,
    /// From 0 to 1: how much of the question's subject it carries.
    pub(crate) weight: f32,
    /// What a passage may tell in place of the word: "cost" is told by an amount.
    pub(crate) told_by: Option<Kind>,
    /// Written with a capital inside the question: the name of a thing or a place.
    pub(crate) proper: bool,
}

impl Term {
    /// Whether it says by itself what a question is about.
    pub(crate) fn is_subject(&self) -> bool {
        self.weight >= SUBJECT
    }
}

/// What a query asks for, read once.
pub(crate) struct Query {
    /// The numbers of all its words that were said, names included.
    pub(crate) all: Vec<Vec<u32>>,
    /// What must be supported: names and words of asking dropped.
    pub(crate) content: Vec<Term>,
    /// Full names of participants it names.
    pub(crate) named: Vec<String>,
    /// What kind of thing it asks for.
    pub(crate) kinds: Vec<Kind>,
    pub(crate) month: Option<u8>,
    pub(crate) year: Option<i32>,
}

/// Weight of a word that can be a question's subject.
const SUBJECT: f32 = 1.0;
/// Weight of a word too general to be one, and of a verb: what was done, not what about.
const GENERAL: f32 = 0.4;

/// Words that ask rather than say what about.
const ASKING: &str = "say said tell told discuss discussed discussion mention mentioned talk talked meeting \
meetings think thought opinion suggest suggested propose proposed recommend explain explained describe \
summarize summarise summary summarization point happen happened anyone anybody someone person people feel \
believe regarding concerning give reason answer question reply mean group team whole long much many exactly \
today recently finally come came view stance plan planned currently mentioning ask asked advantage advantages \
disadvantage disadvantages importance important role current presenting presentation next last previous earlier";
/// Words that ask for a decision.
const DECIDING: &str = "decide decides decided decision decisions choose chose chosen choice agree agrees agreed \
agreement conclude concluded conclusion conclusions settle settled";
/// Words that ask for a task.
const TASKING: &str = "task tasks todo todos action actions item items commitment commitments assignment \
assignments promise promises promised";
/// Words that ask for a time.
const TIMING: &str = "date dates day deadline due time month week year";
/// Words that ask for an amount; the amount answers them.
const COSTING: &str = "cost costs price prices priced pay pays paid charge charges charged fee fees spend spent \
quote quoted worth amount expensive";
/// A word behind one of these is a verb.
const BEFORE_VERB: &str =
    "who to we i you they he she it will would can could should must may did does do not";

fn is_one_of(list: &str, word: &str) -> bool {
    list.split_ascii_whitespace().any(|w| w == word)
}

impl Query {
    /// Reads a query against the people and the words of what is searched.
    pub(crate) fn read(text: &str, people: &People, vocabulary: &Vocabulary) -> Self {
        let pieces: Vec<&str> = text.split_whitespace().collect();
        let (named, name_words) = names(&pieces, people);
        let units = words::units(text);
        let kinds = kinds(&units);
        let proper = capitalised(text, &pieces);
        let (mut all, mut content): (Vec<Vec<u32>>, Vec<Term>) = (Vec::new(), Vec::new());
        let mut before = "";
        for unit in &units {
            let is_verb = is_one_of(BEFORE_VERB, before) || name_words.contains(before);
            before = unit.as_str();
            let Some(stem) = vocabulary.stem_of(unit) else {
                continue;
            };
            let numbers = match vocabulary.number(&stem) {
                Some(number) => vec![number],
                None => vocabulary.kin(&stem),
            };
            if !numbers.is_empty() && !all.contains(&numbers) {
                all.push(numbers.clone());
            }
            let bare = unit.strip_suffix("'s").unwrap_or(unit);
            let asks = is_one_of(ASKING, bare)
                || is_one_of(DECIDING, bare)
                || (kinds.contains(&Kind::Task) && is_one_of(TASKING, bare));
            if !name_words.contains(bare) && !asks && !content.iter().any(|t| t.stem == stem) {
                let told_by = if is_one_of(COSTING, bare) {
                    Some(Kind::Amount)
                } else if is_one_of(TIMING, bare) {
                    Some(Kind::Time)
                } else {
                    None
                };
                let proper = proper.contains(bare);
                let is_minor = is_verb || told_by.is_some() || background::is_general(bare);
                content.push(Term {
                    stem,
                    numbers,
                    weight: if is_minor && !proper {
                        GENERAL
                    } else {
                        SUBJECT
                    },
                    told_by: told_by.filter(|kind| kinds.contains(kind)),
                    proper,
                });
            }
        }
        // "may" is a month only with its capital letter.
        let month = pieces.iter().find_map(|p| {
            let bare = p.trim_matches(|c: char| !c.is_alphabetic());
            due::month(&words::lower(bare)).filter(|_| bare != "may")
        });
        let year = units
            .iter()
            .find_map(|u| u.parse::<i32>().ok().filter(|y| (1990..2100).contains(y)));
        Self {
            all,
            content,
            named,
            kinds,
            month,
            year,
        }
    }

    /// Whether it says by itself what it is about, in more than general words.
    pub(crate) fn has_subject(&self) -> bool {
        self.content.iter().any(Term::is_subject)
    }
}

/// The participants a question names, and the words it does so with.
fn names(pieces: &[&str], people: &People) -> (Vec<String>, HashSet<String>) {
    let (mut named, mut name_words) = (Vec::<String>::new(), HashSet::new());
    let mut at = 0;
    while at < pieces.len() {
        let Some((name, len)) = people.at(&pieces[at..]) else {
            at += 1;
            continue;
        };
        if !named.iter().any(|n| n == name) {
            named.push(name.to_owned());
        }
        for piece in &pieces[at..at + len] {
            let units = words::units(piece);
            name_words.extend(units.iter().map(|u| u.trim_end_matches("'s").to_owned()));
        }
        at += len;
    }
    (named, name_words)
}

/// Lower-case words written with a capital inside the question.
fn capitalised(text: &str, pieces: &[&str]) -> HashSet<String> {
    let upper = text.chars().filter(|c| c.is_uppercase()).count();
    // Who shouts tells no names by capitals.
    if text.chars().filter(|c| c.is_lowercase()).count() < upper {
        return HashSet::new();
    }
    let inside = pieces.iter().skip(1);
    inside
        .filter(|p| p.chars().next().is_some_and(char::is_uppercase))
        .flat_map(|p| words::units(p))
        .map(|u| u.strip_suffix("'s").unwrap_or(&u).to_owned())
        .collect()
}

/// What kind of thing is asked for.
fn kinds(units: &[String]) -> Vec<Kind> {
    let word = |at: usize| units.get(at).map_or("", String::as_str);
    let any = |list: &str| units.iter().any(|u| is_one_of(list, u));
    let (first, second) = (word(0), word(1));
    let mut kinds = Vec::new();
    if any(DECIDING) {
        kinds.push(Kind::Decision);
    }
    let follows = |a: &str, b: &str| units.windows(2).any(|pair| pair[0] == a && pair[1] == b);
    let does = (first == "who" && matches!(second, "will" | "does"))
        && matches!(word(2), "do" | "what" | "which");
    let to_do = matches!(first, "what" | "who" | "which")
        && (follows("to", "do") || (second == "will" && units.iter().skip(2).any(|u| u == "do")));
    if does
        || to_do
        || follows("action", "items")
        || follows("action", "item")
        || any("task tasks todo todos promise promises promised commitments actions")
        || follows("next", "steps")
    {
        kinds.push(Kind::Task);
    }
    let names_time = matches!(first, "which" | "what") && is_one_of(TIMING, second);
    if matches!(first, "when" | "när" | "wann" | "quand")
        || (first == "how" && second == "long")
        || names_time
        || any("deadline")
    {
        kinds.push(Kind::Time);
    }
    if (first == "how" && matches!(second, "much" | "many"))
        || follows("how", "much")
        || follows("how", "many")
        || (matches!(first, "what" | "which") && any(COSTING))
    {
        kinds.push(Kind::Amount);
    }
    if kinds.contains(&Kind::Amount) && any(COSTING) {
        kinds.push(Kind::Money);
    }
    kinds
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Query {
        let people = People::new(["Ada Berg"].into_iter());
        Query::read(text, &people, &Vocabulary::new(true))
    }

    #[test]
    fn a_question_is_about_its_nouns_and_asks_for_a_kind() {
        let subjects = |text: &str| -> Vec<String> {
            let query = read(text);
            let subjects = query.content.into_iter().filter(Term::is_subject);
            subjects.map(|t| t.stem).collect()
        };
        for (text, about, kinds) in [
            ("What did we decide to buy?", vec![], vec![Kind::Decision]),
            (
                "What was the decision about the filler?",
                vec!["filler"],
                vec![Kind::Decision],
            ),
            ("Who will phone the council?", vec!["council"], vec![]),
            (
                "How much does the filler cost?",
                vec!["filler"],
                vec![Kind::Amount, Kind::Money],
            ),
            (
                "What does Ada promise the bank?",
                vec!["bank"],
                vec![Kind::Task],
            ),
            (
                "Who will do what until the next meeting?",
                vec![],
                vec![Kind::Task],
            ),
            ("When is the launch?", vec!["launch"], vec![Kind::Time]),
            ("What about it?", vec![], vec![]),
        ] {
            assert_eq!(subjects(text), about, "{text}");
            assert_eq!(read(text).kinds, kinds, "{text}");
        }
        assert_eq!(read("What did Ada say?").named, ["Ada Berg"]);
    }
}
