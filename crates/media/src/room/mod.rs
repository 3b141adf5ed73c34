//! Rooms, participants, tracks and subscriptions as one state machine.
