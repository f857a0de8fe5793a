//! Prints what is made from the option table: `man DATE`, `bash`, `zsh` or `fish`.

use std::io::{Error, ErrorKind, Result, Write};

use network_connections::cli::pages::{completions, man};

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let text = match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["man", date] => man::man(date),
        ["bash"] => completions::bash(),
        ["zsh"] => completions::zsh(),
        ["fish"] => completions::fish(),
        _ => return Err(Error::new(ErrorKind::InvalidInput, "man DATE, bash, zsh or fish")),
    };
    std::io::stdout().write_all(text.as_bytes())
}
