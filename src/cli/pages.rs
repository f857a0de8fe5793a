//! What is made from the option table for people and their shells.

pub mod completions;
pub mod help;
pub mod man;
pub mod table;
pub mod text;
