//! Sparse TF-IDF vectors, ordered by term so that products are a merge.

use std::collections::HashMap;

/// A vector of unit length (or empty): (term, weight), ascending by term.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Sparse(pub(crate) Vec<(u32, f32)>);

impl Sparse {
    /// Normalises term weights to unit length.
    pub(crate) fn unit(mut weights: Vec<(u32, f32)>) -> Self {
        weights.sort_unstable_by_key(|&(term, _)| term);
        let norm = weights.iter().map(|&(_, w)| w * w).sum::<f32>().sqrt();
        if norm > 0.0 {
            for (_, w) in &mut weights {
                *w /= norm;
            }
        }
        Self(weights)
    }

    /// The cosine with another unit vector.
    pub(crate) fn dot(&self, other: &Self) -> f32 {
        let (mut a, mut b) = (self.0.iter().peekable(), other.0.iter().peekable());
        let mut sum = 0.0;
        while let (Some(&&(x, wx)), Some(&&(y, wy))) = (a.peek(), b.peek()) {
            match x.cmp(&y) {
                std::cmp::Ordering::Less => {
                    a.next();
                }
                std::cmp::Ordering::Greater => {
                    b.next();
                }
                std::cmp::Ordering::Equal => {
                    sum += wx * wy;
                    a.next();
                    b.next();
                }
            }
        }
        sum
    }
}

/// How often each term occurs in one document, ascending by term.
pub(crate) fn counts(terms: impl Iterator<Item = u32>) -> Vec<(u32, u32)> {
    let mut all: Vec<u32> = terms.collect();
    all.sort_unstable();
    let mut out: Vec<(u32, u32)> = Vec::new();
    for term in all {
        match out.last_mut() {
            Some((last, n)) if *last == term => *n += 1,
            _ => out.push((term, 1)),
        }
    }
    out
}

/// In how many documents each term occurs.
pub(crate) fn document_frequency(documents: &[Vec<(u32, u32)>]) -> HashMap<u32, u32> {
    let mut out = HashMap::new();
    for &(term, _) in documents.iter().flatten() {
        *out.entry(term).or_insert(0) += 1;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cosine_of_unit_vectors() {
        let a = Sparse::unit(vec![(3, 3.0), (1, 4.0)]);
        let b = Sparse::unit(vec![(3, 1.0), (9, 1.0)]);
        assert!((a.dot(&a) - 1.0).abs() < 1e-6);
        assert!((a.dot(&b) - 0.6 * 0.5_f32.sqrt()).abs() < 1e-6);
        assert_eq!(Sparse::unit(vec![]).dot(&a), 0.0);
        assert_eq!(counts([5, 1, 5].into_iter()), [(1, 1), (5, 2)]);
    }
}
