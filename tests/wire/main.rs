//! What Linux shows of its sockets, written by encoders of our own and read by both parsers.
//!
//! Nothing here shares a line with what it tests: layouts and numbers are those of
//! `linux/netlink.h`, `linux/inet_diag.h`, `tcp4_seq_show` and its kin.

#![cfg(target_os = "linux")]
// In tests a panic is the message.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::unwrap_used)]

mod fields;
mod filter;
mod netlink;
mod procfs;
mod socket;
