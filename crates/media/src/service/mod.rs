//! LiveKit's server APIs (Twirp): requests, answers and errors on the wire.
