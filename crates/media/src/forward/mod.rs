//! What a subscriber is sent of a track: layer choice, rewriting, allocation; pure.
