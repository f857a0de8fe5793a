//! Linux: access to `/proc` and to mounts, for both sources and owners.

pub(crate) mod file_system;
pub(crate) mod initial;
pub(crate) mod limit_text;
pub(crate) mod look;
pub(crate) mod mount_text;
pub(crate) mod mounts;
pub(crate) mod open_files;
pub(crate) mod proc_text;
pub(crate) mod processes;
pub(crate) mod rights;
pub(crate) mod settings;
pub(crate) mod units;
