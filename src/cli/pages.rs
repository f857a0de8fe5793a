//! Help, manual page and completions, made from the option table.

pub mod completions;
pub mod help;
pub mod man;
pub mod table;
pub mod text;
