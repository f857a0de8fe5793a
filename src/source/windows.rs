//! Windows: what `netsh` tells. The connections are netstat2's.

#[cfg(windows)]
pub mod netsh;
pub mod port_text;
