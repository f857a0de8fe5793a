//! Windows: the output of `netsh`. Connections come from netstat2.

#[cfg(windows)]
pub mod netsh;
pub mod port_text;
