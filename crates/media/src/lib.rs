//! Everything that is a packet; today: LiveKit access tokens.
