//! `admin`
