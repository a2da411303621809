//! The codes that the glossary knows.

use std::collections::BTreeSet;
use std::sync::OnceLock;

/// The codes of docs/errors.md: headings `### 10001`, rows `| 10002 |` and `| 19011 to 19014 |`.
pub(crate) fn documented() -> &'static BTreeSet<u32> {
    static CODES: OnceLock<BTreeSet<u32>> = OnceLock::new();
    CODES.get_or_init(|| {
        let page = include_str!("../../../docs/errors.md");
        let starts = page.lines().filter_map(|line| line.strip_prefix("### ").or_else(|| line.strip_prefix("| ")));
        let mut codes = BTreeSet::new();
        for start in starts {
            let numbers: Vec<u32> = start
                .split('|')
                .next()
                .unwrap_or_default()
                .split_whitespace()
                .filter_map(|word| word.parse().ok())
                .collect();
            if let (Some(first), Some(last)) = (numbers.first(), numbers.last()) {
                codes.extend(*first..=*last);
            }
        }
        codes
    })
}
