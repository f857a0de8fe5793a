//! The words of the command line for the fuzzers, in the form of libFuzzer's dictionaries.

use std::collections::BTreeSet;

use network_connections::cli::options::OPTIONS;

/// The names and choices of all options, one per line.
pub fn words() -> String {
    let words: BTreeSet<_> = OPTIONS
        .iter()
        .flat_map(|option| {
            let names = option.short.into_iter().chain([option.long]).map(str::to_owned);
            names.chain(option.choices().unwrap_or_default())
        })
        .collect();
    words.iter().map(|word| format!("{word:?}")).collect::<Vec<_>>().join("\n")
}
