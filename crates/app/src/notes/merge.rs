//! Which row a newly found item is the next form of. Pure.

use std::collections::HashSet;

use meetmind_core::SegmentId;

/// A text without case, punctuation and spacing, for telling whether two say the same.
pub(super) fn normalised(text: &str) -> String {
    let lower = text.to_lowercase();
    let words = lower
        .split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join(" ")
}

/// An item as far as matching goes.
#[derive(Debug, Clone)]
pub(super) struct Item {
    text: String,
    segments: HashSet<SegmentId>,
}

impl Item {
    pub(super) fn new(text: &str, segments: &[SegmentId]) -> Self {
        Self {
            text: normalised(text),
            segments: segments.iter().copied().collect(),
        }
    }

    fn overlaps(&self, other: &Self) -> bool {
        !self.segments.is_disjoint(&other.segments)
    }
}

/// For each found item the row it continues. One row continues at most one item. The surest
/// signs go first: same words and place, same words, same place.
pub(super) fn matches(rows: &[Item], found: &[Item]) -> Vec<Option<usize>> {
    let mut of_found: Vec<Option<usize>> = vec![None; found.len()];
    let mut taken = vec![false; rows.len()];
    let signs: [fn(&Item, &Item) -> bool; 3] = [
        |row, item| row.text == item.text && row.overlaps(item),
        |row, item| row.text == item.text,
        |row, item| row.overlaps(item),
    ];
    for sign in signs {
        for (at, item) in found.iter().enumerate() {
            if of_found[at].is_some() {
                continue;
            }
            let row = (0..rows.len()).find(|&row| !taken[row] && sign(&rows[row], item));
            if let Some(row) = row {
                taken[row] = true;
                of_found[at] = Some(row);
            }
        }
    }
    of_found
}

/// For each found topic the row that it mostly is: at least half of the smaller of the two.
/// Rows whose label a person wrote choose first, and are content with any overlap.
pub(super) fn topic_matches(
    rows: &[(&[SegmentId], bool)],
    found: &[&[SegmentId]],
) -> Vec<Option<usize>> {
    let sets: Vec<HashSet<SegmentId>> = rows
        .iter()
        .map(|(ids, _)| ids.iter().copied().collect())
        .collect();
    let mut pairs = Vec::new();
    for (row, (set, (ids, edited))) in sets.iter().zip(rows).enumerate() {
        for (at, new) in found.iter().enumerate() {
            let shared = new.iter().filter(|id| set.contains(id)).count();
            if shared > 0 && (*edited || shared * 2 >= ids.len().min(new.len())) {
                pairs.push((*edited, shared, row, at));
            }
        }
    }
    pairs.sort_by_key(|&(edited, shared, row, at)| (!edited, std::cmp::Reverse(shared), row, at));
    let mut of_found = vec![None; found.len()];
    let mut taken = vec![false; rows.len()];
    for (_, _, row, at) in pairs {
        if !taken[row] && of_found[at].is_none() {
            taken[row] = true;
            of_found[at] = Some(row);
        }
    }
    of_found
}

#[cfg(test)]
mod tests {
    use meetmind_core::Id;

    use super::*;

    fn ids(numbers: &[u128]) -> Vec<SegmentId> {
        let id = |n: &u128| SegmentId::from_uuid(uuid::Uuid::from_u128(*n));
        numbers.iter().map(id).collect()
    }

    fn item(text: &str, numbers: &[u128]) -> Item {
        Item::new(text, &ids(numbers))
    }

    #[test]
    fn the_same_words_win_over_the_same_place() {
        let rows = [item("Send the report.", &[1]), item("Call Ben", &[1])];
        let found = [
            item("call  Ben!", &[1, 2]),
            item("Send the report", &[1]),
            item("Book a room", &[1]),
        ];
        assert_eq!(matches(&rows, &found), [Some(1), Some(0), None]);
        let found = [item("Send the final report", &[1]), item("Else", &[9])];
        assert_eq!(matches(&rows, &found), [Some(0), None]);
    }

    #[test]
    fn a_topic_keeps_its_row_while_it_grows_and_when_it_splits() {
        let old = [(ids(&[1, 2, 3, 4]), false), (ids(&[5, 6]), true)];
        let rows: Vec<(&[SegmentId], bool)> = old
            .iter()
            .map(|(ids, edited)| (ids.as_slice(), *edited))
            .collect();
        let new = [ids(&[1, 2]), ids(&[3, 4, 5, 6, 7, 8, 9, 10])];
        let found: Vec<&[SegmentId]> = new.iter().map(Vec::as_slice).collect();
        assert_eq!(topic_matches(&rows, &found), [Some(0), Some(1)]);
        let new = [ids(&[3, 20, 21, 22, 23, 24, 25])];
        let found: Vec<&[SegmentId]> = new.iter().map(Vec::as_slice).collect();
        assert_eq!(topic_matches(&rows[..1], &found), [None]);
    }
}
