//! Linux: `sock_diag(7)` and, where it fails, `/proc/net`.

pub mod counters;
pub mod inet_diag;
pub mod interfaces;
mod limit_text;
pub mod limits;
pub mod netlink;
mod port_text;
pub mod proc_table;
pub mod procfs;
pub mod sock_diag;
pub mod unix_diag;
