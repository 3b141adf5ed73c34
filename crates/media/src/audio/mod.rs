//! Sound: Opus, levels, mixing.
