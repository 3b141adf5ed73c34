//! The process as others see it: the built program, its output, its signals, its files.

mod backup;
mod config;
mod crash;
mod network;
mod program;
mod serve;
