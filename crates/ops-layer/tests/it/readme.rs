//! The first lines that a newcomer copies compile: those in the top
//! README equal those in the crate's, whose blocks are doctests.

use std::path::Path;

#[test]
fn the_top_readme_shows_the_lines_that_the_crate_tests() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let block = |path: &Path| {
        let text = std::fs::read_to_string(path).unwrap();
        let blocks: Vec<_> = text.split("```rust").skip(1).collect();
        let code = blocks[0].split_once("\n```").unwrap().0.to_owned();
        (blocks.len(), code)
    };
    let (in_top, top) = block(&root.join("../../README.md"));
    let (_, own) = block(&root.join("README.md"));
    assert_eq!(top, own);
    assert_eq!(
        in_top, 1,
        "a second block of the top README is compiled nowhere"
    );
}
