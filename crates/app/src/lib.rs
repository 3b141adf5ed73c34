//! What MeetMind does: one function per use case.
