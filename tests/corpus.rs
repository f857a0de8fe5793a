//! The fuzz targets on the inputs that are kept: seeds, and whatever once broke something.

// In tests a panic is the message.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::unwrap_used)]

use std::fs;
use std::path::Path;

// Included rather than depended on: `cargo test` needs no fuzzer.
#[path = "../fuzz/src/lib.rs"]
mod targets;

#[test]
fn every_kept_input_holds() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    for (name, target) in targets::TARGETS {
        let mut inputs: Vec<_> =
            fs::read_dir(corpus.join(name)).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert!(!inputs.is_empty(), "{name}");
        inputs.sort();
        for input in inputs {
            let data = fs::read(&input).unwrap();
            let held = std::panic::catch_unwind(|| target(&data));
            assert!(held.is_ok(), "{name}: {}", input.display());
        }
    }
}
