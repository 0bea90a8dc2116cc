//! Reads the closing lines of test runners.

use std::ops::AddAssign;

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Count {
    pub(crate) passed: u32,
    pub(crate) failed: u32,
}

impl AddAssign for Count {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
    }
}

/// `Summary [ 0.018s] 5 tests run: 4 passed (1 slow), 1 failed, 0 skipped`. All that ran and did not
/// pass failed, however the runner calls it.
pub(crate) fn nextest(line: &str) -> Option<Count> {
    let (_, line) = line
        .trim_start()
        .strip_prefix("Summary [")?
        .split_once(']')?;
    let (run, outcomes) = line.split_once(':')?;
    // `3/5 tests run` when a run was cut short.
    let run: u32 = run
        .split_whitespace()
        .next()?
        .split('/')
        .next()?
        .parse()
        .ok()?;
    let passed = numbered(outcomes, "passed");
    Some(Count {
        passed,
        failed: run.saturating_sub(passed),
    })
}

/// `test result: ok. 5 passed; 0 failed; 0 ignored; …`, once for each test program.
pub(crate) fn libtest(line: &str) -> Option<Count> {
    let outcomes = line.strip_prefix("test result: ")?;
    Some(Count {
        passed: numbered(outcomes, "passed"),
        failed: numbered(outcomes, "failed"),
    })
}

/// `===== 1 failed, 57 passed, 2 warnings, 1 error in 12.34s =====`
pub(crate) fn pytest(line: &str) -> Option<Count> {
    let line = line.trim_matches(|letter| letter == '=' || letter == ' ');
    let (outcomes, time) = line.rsplit_once(" in ")?;
    if !time.starts_with(|letter: char| letter.is_ascii_digit()) {
        return None;
    }
    let failed = ["failed", "error", "errors"]
        .map(|word| numbered(outcomes, word))
        .iter()
        .sum();
    let count = Count {
        passed: numbered(outcomes, "passed"),
        failed,
    };
    (count != Count::default()).then_some(count)
}

/// The number before a word, 0 when the word is not there.
fn numbered(text: &str, word: &str) -> u32 {
    let is_separator = |letter: char| !letter.is_ascii_alphanumeric();
    let words: Vec<&str> = text
        .split(is_separator)
        .filter(|part| !part.is_empty())
        .collect();
    let pairs = words.windows(2).filter(|pair| pair[1] == word);
    pairs.filter_map(|pair| pair[0].parse::<u32>().ok()).sum()
}

#[cfg(test)]
mod tests {
    use super::{Count, libtest, nextest, pytest};

    #[test]
    fn nextest_lines() {
        let count = |passed, failed| Some(Count { passed, failed });
        assert_eq!(
            nextest("     Summary [   0.018s] 5 tests run: 5 passed, 0 skipped"),
            count(5, 0)
        );
        assert_eq!(
            nextest("Summary [ 1.2s] 7/9 tests run: 4 passed (1 slow), 2 failed, 1 timed out"),
            count(4, 3)
        );
        assert_eq!(nextest("        PASS [   0.006s] (1/5) summary"), None);
    }

    #[test]
    fn libtest_lines() {
        let line = "test result: FAILED. 5 passed; 2 failed; 0 ignored; 0 measured; 1 filtered out";
        assert_eq!(
            libtest(line),
            Some(Count {
                passed: 5,
                failed: 2
            })
        );
        assert_eq!(libtest("test tests::result ... ok"), None);
    }

    #[test]
    fn pytest_lines() {
        let line = "==== 1 failed, 57 passed, 2 warnings, 2 errors in 12.34s (0:00:12) ====";
        assert_eq!(
            pytest(line),
            Some(Count {
                passed: 57,
                failed: 3
            })
        );
        assert_eq!(
            pytest("3 passed in 0.05s"),
            Some(Count {
                passed: 3,
                failed: 0
            })
        );
        assert_eq!(
            pytest("conformance/test_x.py::test_1 failed in setup"),
            None
        );
        assert_eq!(pytest("no tests ran in 0.01s"), None);
    }
}
