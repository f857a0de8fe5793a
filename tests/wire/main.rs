//! Sockets in the forms that Linux shows them in, written by independent encoders and read by both
//! parsers.
//!
//! The encoders share no line with the parsers: layouts and numbers come from `linux/netlink.h`,
//! `linux/inet_diag.h`, `tcp4_seq_show` and its kin.

#![cfg(target_os = "linux")]
// In tests a panic is the message.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::unwrap_used)]

mod fields;
mod filter;
mod netlink;
mod procfs;
mod socket;
