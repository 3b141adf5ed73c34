//! Whether two decisions are about the same thing: shared telling words, and not only one.

use std::collections::HashSet;

/// Words of deciding and replacing that say nothing on what is decided.
const FORMULA: &[&str] = &[
    "about", "after", "again", "agree", "agreed", "alright", "also", "back", "because", "been",
    "before", "being", "better", "change", "changed", "decide", "decided", "decision", "does",
    "doing", "done", "drop", "final", "finally", "from", "going", "gonna", "good", "have",
    "instead", "into", "just", "keep", "let's", "longer", "make", "mind", "more", "need", "okay",
    "only", "our", "over", "propose", "rather", "really", "scrap", "should", "some", "still",
    "stick", "suggest", "than", "that", "that's", "their", "them", "then", "there", "these",
    "they", "thing", "think", "this", "thought", "use", "using", "very", "want", "we'll", "we're",
    "well", "were", "what", "when", "which", "will", "with", "would", "yeah", "your", "all", "and",
    "any", "are", "but", "can", "day", "did", "for", "get", "got", "had", "has", "her", "him",
    "his", "how", "i'd", "i'm", "it's", "its", "let", "may", "new", "not", "now", "off", "one",
    "out", "see", "she", "six", "the", "too", "two", "was", "way", "who", "why", "yes", "you",
];

fn telling(text: &str) -> HashSet<String> {
    let lower = text.to_lowercase();
    lower
        .split(|c: char| !c.is_alphanumeric() && c != '\'')
        .filter(|word| {
            let digits = word.chars().any(|c| c.is_ascii_digit());
            (word.chars().count() >= 3 || digits) && !FORMULA.contains(word)
        })
        .map(stem)
        .collect()
}

/// Takes the commonest English endings off, so that "charger" and "chargers" meet.
fn stem(word: &str) -> String {
    let word = word.strip_suffix("'s").unwrap_or(word);
    for ending in ["ies", "ing", "es", "ed", "s", "y"] {
        if let Some(rest) = word.strip_suffix(ending)
            && rest.chars().count() >= 3
        {
            return rest.to_owned();
        }
    }
    word.to_owned()
}

/// How much two decisions share, from 0 to 1; 0 when it is too little to speak of the same thing.
pub(super) fn likeness(one: &str, other: &str) -> f32 {
    let (one, other) = (telling(one), telling(other));
    let shared = one.intersection(&other).count();
    let smaller = one.len().min(other.len());
    // One shared word is enough only when it is all that one of them says.
    if shared == 0 || (shared == 1 && smaller > 1) {
        return 0.0;
    }
    shared as f32 / smaller as f32
}

#[cfg(test)]
mod tests {
    use super::likeness;

    #[test]
    fn the_same_thing_is_recognised_and_another_is_not() {
        let old = "We're going to go with the kinetic charger.";
        assert!(
            likeness(
                "We decided to use batteries instead of the kinetic charger.",
                old
            ) > 0.0
        );
        let bought = "We decided: we buy the used Hallberg from Odense.";
        assert!(
            likeness(
                "We're not buying the Hallberg, the bowl is cracked.",
                bought
            ) > 0.0
        );
        assert!(likeness("Let's go back to two chargers that are kinetic.", old) > 0.0);
        for other in [
            "We decided to ship on Friday instead.",
            "The charger colour is decided to be yellow rubber with curved edges.",
            "We will use that instead of this.",
            "",
        ] {
            assert!(likeness(other, old) <= 0.0, "{other}");
        }
    }
}
