use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::pattern::Pattern;

/// The constraints of the service model on one member.
#[derive(Debug)]
pub(crate) enum Shape {
    /// Characters, and a pattern that the whole text must match.
    Text {
        min: usize,
        max: usize,
        pattern: Option<&'static Pattern>,
    },
    Enum(&'static [&'static str]),
    Int {
        min: i64,
        max: i64,
    },
    /// `rules` are the constraints on each element, `not_null` whether AWS names that one too.
    List {
        min: usize,
        max: usize,
        element: &'static Shape,
        not_null: bool,
    },
    Map {
        key: &'static Shape,
        value: &'static Shape,
        secret: bool,
    },
    /// A structure or blob, of which only the presence counts here.
    Any,
}

/// No bound.
pub(crate) const ANY: usize = usize::MAX;

/// A member of an operation's input.
#[derive(Debug)]
pub(crate) struct Member {
    /// In lowerCamelCase, with dots between the names of nested members.
    pub(crate) path: &'static str,
    pub(crate) shape: &'static Shape,
    pub(crate) required: bool,
}

/// A member as a caller gave it.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Given<'a> {
    Absent,
    /// Of a shape whose value is not looked at.
    Present,
    Text(&'a str),
    Int(i64),
    List(&'a [String]),
    Map(&'a BTreeMap<String, String>),
}

impl<'a> From<Option<&'a String>> for Given<'a> {
    fn from(text: Option<&'a String>) -> Self {
        text.map_or(Self::Absent, |text| Self::Text(text))
    }
}

impl From<Option<i64>> for Given<'_> {
    fn from(number: Option<i64>) -> Self {
        number.map_or(Self::Absent, Self::Int)
    }
}

impl<'a> From<Option<&'a Vec<String>>> for Given<'a> {
    fn from(list: Option<&'a Vec<String>>) -> Self {
        list.map_or(Self::Absent, |list| Self::List(list))
    }
}

impl<'a> From<Option<&'a BTreeMap<String, String>>> for Given<'a> {
    fn from(map: Option<&'a BTreeMap<String, String>>) -> Self {
        map.map_or(Self::Absent, Self::Map)
    }
}

impl Given<'_> {
    /// The value as AWS prints it in a refusal.
    fn print(self) -> String {
        match self {
            Self::Absent | Self::Present => String::new(),
            Self::Text(text) => text.to_owned(),
            Self::Int(number) => number.to_string(),
            Self::List(list) => format!("[{}]", list.join(", ")),
            Self::Map(map) => {
                let pairs: Vec<String> = map.iter().map(|(k, v)| format!("{k}={v}")).collect();
                format!("{{{}}}", pairs.join(", "))
            }
        }
    }
}

/// Appends what is wrong with one member, each rule that it breaks as one item.
pub(crate) fn check_member(member: &Member, given: Given<'_>, items: &mut Vec<String>) {
    let broken: Vec<String> = match given {
        Given::Absent if member.required => vec![NOT_NULL.into()],
        Given::Absent => return,
        given => member.shape.broken_rules(given),
    };
    let value = match given {
        Given::Absent => "Value null".to_owned(),
        _ if member.shape.is_secret() => "Value".to_owned(),
        given => format!("Value '{}'", given.print()),
    };
    for rule in broken {
        let mut item = String::new();
        let path = member.path;
        let _ = write!(
            item,
            "{value} at '{path}' failed to satisfy constraint: {rule}"
        );
        items.push(item);
    }
}

const NOT_NULL: &str = "Member must not be null";

impl Shape {
    fn is_secret(&self) -> bool {
        matches!(self, Self::Map { secret: true, .. })
    }

    /// The rules that the value breaks, as AWS words them.
    fn broken_rules(&self, given: Given<'_>) -> Vec<String> {
        match (self, given) {
            (Self::Text { .. } | Self::Enum(_), Given::Text(text)) => self.broken_by_text(text),
            (Self::Int { min, max }, Given::Int(number)) => {
                let mut broken = Vec::new();
                if number > *max {
                    broken.push(format!(
                        "Member must have value less than or equal to {max}"
                    ));
                }
                if number < *min {
                    broken.push(format!(
                        "Member must have value greater than or equal to {min}"
                    ));
                }
                broken
            }
            (
                Self::List {
                    min,
                    max,
                    element,
                    not_null,
                },
                Given::List(list),
            ) => {
                let mut broken = length_rules(list.len(), *min, *max);
                if list
                    .iter()
                    .any(|text| !element.broken_by_text(text).is_empty())
                {
                    let mut rules = element.rules();
                    if *not_null {
                        rules.push(NOT_NULL.into());
                    }
                    broken.push(format!(
                        "Member must satisfy constraint: [{}]",
                        rules.join(", ")
                    ));
                }
                broken
            }
            (Self::Map { key, value, .. }, Given::Map(map)) => {
                let mut broken = Vec::new();
                if map.keys().any(|text| !key.broken_by_text(text).is_empty()) {
                    let rules = key.rules().join(", ");
                    broken.push(format!("Map keys must satisfy constraint: [{rules}]"));
                }
                if map
                    .values()
                    .any(|text| !value.broken_by_text(text).is_empty())
                {
                    let rules = value.rules().join(", ");
                    broken.push(format!("Map value must satisfy constraint: [{rules}]"));
                }
                broken
            }
            _ => Vec::new(),
        }
    }

    fn broken_by_text(&self, text: &str) -> Vec<String> {
        match self {
            Self::Text { min, max, pattern } => {
                let mut broken = length_rules(text.chars().count(), *min, *max);
                if let Some(pattern) = pattern.filter(|pattern| !pattern.matches(text)) {
                    broken.push(pattern.rule());
                }
                broken
            }
            Self::Enum(values) if !values.contains(&text) => self.rules(),
            _ => Vec::new(),
        }
    }

    /// All rules of the shape, as AWS lists them for an element of a list or map.
    fn rules(&self) -> Vec<String> {
        match self {
            Self::Text { min, max, pattern } => {
                let mut rules = Vec::new();
                if *max != ANY {
                    rules.push(format!(
                        "Member must have length less than or equal to {max}"
                    ));
                    rules.push(format!(
                        "Member must have length greater than or equal to {min}"
                    ));
                }
                rules.extend(pattern.map(Pattern::rule));
                rules
            }
            Self::Enum(values) => {
                vec![format!(
                    "Member must satisfy enum value set: [{}]",
                    values.join(", ")
                )]
            }
            _ => Vec::new(),
        }
    }
}

fn length_rules(length: usize, min: usize, max: usize) -> Vec<String> {
    let mut broken = Vec::new();
    if length > max {
        broken.push(format!(
            "Member must have length less than or equal to {max}"
        ));
    }
    if length < min {
        broken.push(format!(
            "Member must have length greater than or equal to {min}"
        ));
    }
    broken
}
