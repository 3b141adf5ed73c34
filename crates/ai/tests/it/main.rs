//! Properties of the offline notes engine, and its behaviour on real meetings when they are at hand.

mod properties;
mod questions;
mod real_meetings;
