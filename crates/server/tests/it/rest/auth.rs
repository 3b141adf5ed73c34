//! `auth`
