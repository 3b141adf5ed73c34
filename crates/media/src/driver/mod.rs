//! Sockets, threads and clocks: the only place of this crate that does IO.
