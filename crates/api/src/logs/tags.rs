use std::collections::BTreeMap;

use bootlace_types::limits;

use super::check::{Problems, of_identifier};
use super::error::LogsError;
use super::{Answered, Call, Reply};
use crate::wire::logs::{GroupTags, ResourceTags, Tags, UntagGroup};

type Map = BTreeMap<String, String>;

pub(super) fn check(problems: &mut Problems, tags: &Map) {
    problems.count("tags", tags.len(), 0, limits::TAGS);
    for (key, value) in tags.iter().take(limits::TAGS) {
        problems.tag(key, Some(value));
    }
}

pub(super) async fn tag(call: Call) -> Answered {
    let asked: ResourceTags = call.members()?;
    let mut problems = Problems::default();
    problems.required("resourceArn", asked.resource_arn.as_ref());
    problems.required("tags", asked.tags.as_ref());
    let tags = asked.tags.unwrap_or_default();
    check(&mut problems, &tags);
    problems.finish()?;
    let name = resource(&call, asked.resource_arn)?;
    add(&call, &name, tags).await
}

pub(super) async fn untag(call: Call) -> Answered {
    let asked: ResourceTags = call.members()?;
    let mut problems = Problems::default();
    problems.required("resourceArn", asked.resource_arn.as_ref());
    problems.required("tagKeys", asked.tag_keys.as_ref());
    problems.finish()?;
    let name = resource(&call, asked.resource_arn)?;
    remove(&call, &name, asked.tag_keys.unwrap_or_default()).await
}

pub(super) async fn list(call: Call) -> Answered {
    let asked: ResourceTags = call.members()?;
    let mut problems = Problems::default();
    problems.required("resourceArn", asked.resource_arn.as_ref());
    problems.finish()?;
    let name = resource(&call, asked.resource_arn)?;
    show(&call, &name)
}

pub(super) async fn tag_group(call: Call) -> Answered {
    let asked: GroupTags = call.members()?;
    let mut problems = Problems::default();
    problems.required("logGroupName", asked.log_group_name.as_ref());
    problems.group_name("logGroupName", asked.log_group_name.as_ref());
    problems.required("tags", asked.tags.as_ref());
    let tags = asked.tags.unwrap_or_default();
    check(&mut problems, &tags);
    problems.finish()?;
    add(&call, &asked.log_group_name.unwrap_or_default(), tags).await
}

pub(super) async fn untag_group(call: Call) -> Answered {
    let asked: UntagGroup = call.members()?;
    let mut problems = Problems::default();
    problems.required("logGroupName", asked.log_group_name.as_ref());
    problems.group_name("logGroupName", asked.log_group_name.as_ref());
    problems.required("tags", asked.tags.as_ref());
    problems.finish()?;
    let name = asked.log_group_name.unwrap_or_default();
    remove(&call, &name, asked.tags.unwrap_or_default()).await
}

pub(super) async fn list_of_group(call: Call) -> Answered {
    let asked: GroupTags = call.members()?;
    let mut problems = Problems::default();
    problems.required("logGroupName", asked.log_group_name.as_ref());
    problems.group_name("logGroupName", asked.log_group_name.as_ref());
    problems.finish()?;
    show(&call, &asked.log_group_name.unwrap_or_default())
}

fn resource(call: &Call, arn: Option<String>) -> Result<String, LogsError> {
    let arn = arn.unwrap_or_default();
    if !arn.starts_with("arn:") {
        return Err(LogsError::invalid("resourceArn is no ARN of a log group."));
    }
    of_identifier(&call.scope, &arn)
}

async fn add(call: &Call, name: &str, tags: Map) -> Answered {
    let known = call.logs().group(&call.scope, name)?.tags;
    let new = tags.keys().filter(|key| !known.contains_key(*key)).count();
    if known.len() + new > limits::TAGS {
        return Err(LogsError::invalid(format!(
            "A log group can have at most {} tags.",
            limits::TAGS
        )));
    }
    let add = move |all: &mut Map| {
        for (key, value) in tags {
            // Others may have added some meanwhile.
            if all.len() < limits::TAGS || all.contains_key(&key) {
                all.insert(key, value);
            }
        }
    };
    call.logs().change_tags(&call.scope, name, add).await?;
    Ok(Reply::Nothing)
}

async fn remove(call: &Call, name: &str, keys: Vec<String>) -> Answered {
    let remove = move |all: &mut Map| all.retain(|key, _| !keys.contains(key));
    call.logs().change_tags(&call.scope, name, remove).await?;
    Ok(Reply::Nothing)
}

fn show(call: &Call, name: &str) -> Answered {
    let group = call.logs().group(&call.scope, name)?;
    Reply::json(&Tags { tags: group.tags })
}
