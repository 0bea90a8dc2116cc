use std::sync::LazyLock;

use bootlace_types::{FunctionRef, LayerVersionArn, Qualifier};
use regex::Regex;

/// A pattern of the service model: its text, which refusals print, and how it is tested.
#[derive(Debug)]
pub(crate) struct Pattern {
    text: &'static str,
    test: fn(&str) -> bool,
}

impl Pattern {
    /// Whether the whole value matches.
    pub(crate) fn matches(&self, value: &str) -> bool {
        (self.test)(value)
    }

    pub(crate) fn rule(&self) -> String {
        format!(
            "Member must satisfy regular expression pattern: {}",
            self.text
        )
    }
}

/// Compiles a pattern of the model. Its classes mean ASCII, as in the language the model was
/// written for.
fn compile(text: &str) -> Option<Regex> {
    let ascii = text
        .replace(r"\d", "[0-9]")
        .replace(r"[^\s]", r"[^ \t\n\x0B\x0C\r]");
    Regex::new(&format!("^(?:{ascii})$")).ok()
}

/// A pattern that the `regex` crate can run as it stands. A test compiles each.
macro_rules! patterns {
    ($($(#[$doc:meta])* $name:ident = $text:expr;)*) => {
        $($(#[$doc])*
        pub(crate) static $name: Pattern = Pattern {
            text: $text,
            test: |value| {
                static REGEX: LazyLock<Option<Regex>> = LazyLock::new(|| compile($text));
                REGEX.as_ref().is_some_and(|regex| regex.is_match(value))
            },
        };)*

        #[cfg(test)]
        const COMPILED: &[&str] = &[$($text),*];
    };
}

patterns! {
    ROLE_ARN = r"arn:(aws[a-zA-Z-]*)?:iam::\d{12}:role/?[a-zA-Z_0-9+=,.@\-_/]+";
    HANDLER = r"[^\s]+";
    KMS_KEY_ARN = r"(arn:(aws[a-zA-Z-]*)?:[a-z0-9-.]+:.*)|()";
    TARGET_ARN = r"(arn:(aws[a-zA-Z-]*)?:[a-z0-9-.]+:.*)|()";
    ENVIRONMENT_KEY = r"[a-zA-Z]([a-zA-Z0-9_])+";
    SUBNET_ID = r"subnet-[0-9a-z]*";
    SECURITY_GROUP_ID = r"sg-[0-9a-zA-Z]*";
    LOG_GROUP = r"[\.\-_/#A-Za-z0-9]+";
    S3_KEY = r".*";
    TAG_TEXT = r"([\p{L}\p{Z}\p{N}_.:/=+\-@]*)";
    CODE_SIGNING_CONFIG_ARN = r"arn:(aws[a-zA-Z-]*)?:lambda:(eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1}:\d{12}:code-signing-config:csc-[a-z0-9]{17}";
    MASTER_REGION = r"ALL|(eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1}";
    LAYER_NAME_OR_ARN = r"(arn:(aws[a-zA-Z-]*)?:lambda:(eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1}:\d{12}:layer:[a-zA-Z0-9-_]{1,140}|[a-zA-Z0-9-_]{1,140})";
}

/// For functions that exist: any form of name, with or without a qualifier.
pub(crate) static NAMESPACED_FUNCTION_NAME: Pattern = Pattern {
    text: r"(arn:(aws[a-zA-Z-]*)?:lambda:)?((eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1}:)?(\d{12}:)?(function:)?([a-zA-Z0-9-_\.]+)(:(\$LATEST(\.PUBLISHED)?|[a-zA-Z0-9-_]+))?",
    test: |value| value.parse::<FunctionRef>().is_ok(),
};

/// For functions that are made or changed: as above, without dots.
pub(crate) static FUNCTION_NAME: Pattern = Pattern {
    text: r"(arn:(aws[a-zA-Z-]*)?:lambda:)?((eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1}:)?(\d{12}:)?(function:)?([a-zA-Z0-9-_]+)(:(\$LATEST|[a-zA-Z0-9-_]+))?",
    test: |value| {
        value.parse::<FunctionRef>().is_ok_and(|function| {
            !function.name.contains('.') && function.qualifier != Some(Qualifier::LatestPublished)
        })
    },
};

pub(crate) static QUALIFIER: Pattern = Pattern {
    text: r"\$(LATEST(\.PUBLISHED)?)|[a-zA-Z0-9-_$]+",
    // The length is another rule, with an item of its own.
    test: |value| {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'$');
        value == "$LATEST.PUBLISHED" || (!value.is_empty() && value.bytes().all(allowed))
    },
};

/// AWS prints this one without the model's outer group.
pub(crate) static LAYER_VERSION_ARN: Pattern = Pattern {
    text: r"(arn:(aws[a-zA-Z-]*)?:lambda:(eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1}:\d{12}:layer:[a-zA-Z0-9-_]+:[0-9]+)|(arn:[a-zA-Z0-9-]+:lambda:::awslayer:[a-zA-Z0-9-_]+)",
    test: |value| value.parse::<LayerVersionArn>().is_ok() || is_aws_layer(value),
};

/// `arn:[a-zA-Z0-9-]+:lambda:::awslayer:[a-zA-Z0-9-_]+`
fn is_aws_layer(value: &str) -> bool {
    let word = |text: &str, extra: &[u8]| {
        !text.is_empty()
            && text
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || extra.contains(&b))
    };
    let parts = value
        .strip_prefix("arn:")
        .and_then(|rest| rest.split_once(":lambda:::awslayer:"));
    parts.is_some_and(|(partition, name)| word(partition, b"-") && word(name, b"-_"))
}

/// Its look-behind (no dot at the end) is tested by hand.
pub(crate) static S3_BUCKET: Pattern = Pattern {
    text: r"[0-9A-Za-z\.\-_]*(?<!\.)",
    test: |value| {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
        value.bytes().all(allowed) && !value.ends_with('.')
    },
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pattern_compiles() {
        for text in COMPILED {
            assert!(compile(text).is_some(), "{text}");
        }
    }

    #[test]
    fn classes_are_ascii_and_the_whole_value_counts() {
        assert!(ROLE_ARN.matches("arn:aws:iam::000000000000:role/lambda"));
        assert!(!ROLE_ARN.matches("arn:aws:iam::٠٠٠٠٠٠٠٠٠٠٠٠:role/lambda"));
        assert!(!ROLE_ARN.matches("x arn:aws:iam::000000000000:role/lambda"));
        assert!(HANDLER.matches("function.handler") && !HANDLER.matches("a b"));
        assert!(S3_BUCKET.matches("a.b") && !S3_BUCKET.matches("a."));
        assert!(LAYER_VERSION_ARN.matches("arn:aws:lambda:::awslayer:AmazonLinux1803"));
        assert!(!LAYER_VERSION_ARN.matches("arn:aws:lambda:us-east-1:000000000000:layer:x"));
    }

    /// The model's own words for a pattern that is tested by hand.
    fn by_the_model(pattern: &Pattern) -> Regex {
        compile(pattern.text).expect("has no look-around")
    }

    /// Texts that are nearly names: the model's fragments in any order.
    fn nearly_a_name() -> impl proptest::strategy::Strategy<Value = String> {
        let fragment = proptest::sample::select(vec![
            "arn:",
            "aws:",
            "aws-cn:",
            "lambda:",
            "us-east-1:",
            "eusc-de-east-1:",
            "us-east-11:",
            "000000000000:",
            "00000000000:",
            "function:",
            "function",
            "f",
            "a_b-c",
            ".",
            ":",
            "1",
            "$LATEST",
            ":$LATEST",
            ":$LATEST.PUBLISHED",
            "$",
            "!",
            "layer:",
            ":1",
            "awslayer:",
            ":::awslayer:x",
            "é",
        ]);
        use proptest::strategy::Strategy as _;
        proptest::collection::vec(fragment, 0..8).prop_map(|parts| parts.concat())
    }

    proptest::proptest! {
        #[test]
        fn patterns_tested_by_hand_agree_with_the_model(text in nearly_a_name()) {
            // AWS refuses ARNs that lack region or account although the model's pattern has them.
            for pattern in [&NAMESPACED_FUNCTION_NAME, &FUNCTION_NAME] {
                let model = by_the_model(pattern).is_match(&text);
                let partial = ["arn:", "us-east-1:", "eusc-de-east-1:"];
                let lenient = partial.iter().any(|part| text.contains(part));
                proptest::prop_assert!(model || !pattern.matches(&text), "{}", text);
                proptest::prop_assert!(!model || lenient || pattern.matches(&text), "{}", text);
            }
            for pattern in [&QUALIFIER, &LAYER_VERSION_ARN] {
                let model = by_the_model(pattern).is_match(&text);
                proptest::prop_assert_eq!(pattern.matches(&text), model, "{}", text);
            }
        }
    }
}
