use bootlace_invoke::logs::GroupInfo;

use super::check::{Problems, of_identifier};
use super::error::LogsError;
use super::{Answered, Call, Reply, token};
use crate::wire::logs::{
    CreateGroup, DescribeGroups, GroupDocument, GroupName, Groups, PutRetention,
};

const PAGE: usize = 50;
const STANDARD: &str = "STANDARD";
const CLASSES: [&str; 4] = [STANDARD, "INFREQUENT_ACCESS", "DELIVERY", "ESSENTIALS"];

pub(super) async fn create(call: Call) -> Answered {
    let asked: CreateGroup = call.members()?;
    let mut problems = Problems::default();
    problems.required("logGroupName", asked.log_group_name.as_ref());
    problems.group_name("logGroupName", asked.log_group_name.as_ref());
    problems.one_of("logGroupClass", asked.log_group_class.as_ref(), &CLASSES);
    let tags = asked.tags.unwrap_or_default();
    super::tags::check(&mut problems, &tags);
    problems.finish()?;
    if asked.kms_key_id.is_some() {
        return Err(LogsError::not_built("kmsKeyId of CreateLogGroup"));
    }
    if asked.log_group_class.is_some_and(|class| class != STANDARD) {
        return Err(LogsError::not_built("A logGroupClass other than STANDARD"));
    }
    if asked.deletion_protection_enabled == Some(true) {
        return Err(LogsError::not_built(
            "deletionProtectionEnabled of CreateLogGroup",
        ));
    }
    let name = asked.log_group_name.unwrap_or_default();
    call.logs().create_group(&call.scope, &name, tags).await?;
    Ok(Reply::Nothing)
}

pub(super) async fn delete(call: Call) -> Answered {
    let name = group_name(&call)?;
    call.logs().delete_group(&call.scope, &name).await?;
    Ok(Reply::Nothing)
}

pub(super) async fn put_retention(call: Call) -> Answered {
    let asked: PutRetention = call.members()?;
    let mut problems = Problems::default();
    problems.required("logGroupName", asked.log_group_name.as_ref());
    problems.group_name("logGroupName", asked.log_group_name.as_ref());
    problems.retention(asked.retention_in_days);
    problems.finish()?;
    let days = asked
        .retention_in_days
        .and_then(|days| u32::try_from(days).ok());
    let name = asked.log_group_name.unwrap_or_default();
    call.logs().set_retention(&call.scope, &name, days).await?;
    Ok(Reply::Nothing)
}

pub(super) async fn delete_retention(call: Call) -> Answered {
    let name = group_name(&call)?;
    call.logs().set_retention(&call.scope, &name, None).await?;
    Ok(Reply::Nothing)
}

pub(super) async fn describe(call: Call) -> Answered {
    let asked: DescribeGroups = call.members()?;
    let mut problems = Problems::default();
    problems.group_name("logGroupNamePrefix", asked.log_group_name_prefix.as_ref());
    problems.group_name_pattern(asked.log_group_name_pattern.as_ref());
    problems.one_of("logGroupClass", asked.log_group_class.as_ref(), &CLASSES);
    problems.limit(asked.limit, 50);
    if let Some(identifiers) = &asked.log_group_identifiers {
        problems.count("logGroupIdentifiers", identifiers.len(), 1, 50);
    }
    problems.finish()?;
    if asked.log_group_name_prefix.is_some() && asked.log_group_name_pattern.is_some() {
        return Err(LogsError::invalid(
            "LogGroup name prefix and LogGroup name pattern are mutually exclusive parameters.",
        ));
    }
    let names = asked.log_group_identifiers.map(|identifiers| {
        let name = |identifier: &String| of_identifier(&call.scope, identifier).ok();
        identifiers.iter().filter_map(name).collect::<Vec<_>>()
    });
    let after = asked.next_token.as_deref().map(token::parse_of_list);
    let after = after.transpose()?.map(|(_, name)| name);
    let limit = page(asked.limit);
    let none_of_class = asked.log_group_class.is_some_and(|class| class != STANDARD);
    let part = asked.log_group_name_pattern.unwrap_or_default();
    let wanted = |name: &str| {
        !none_of_class
            && name.contains(&part)
            && names
                .as_ref()
                .is_none_or(|names| names.iter().any(|is| is == name))
    };
    let prefix = asked.log_group_name_prefix.unwrap_or_default();
    let logs = call.logs();
    // What a function just logged is listed, too.
    logs.flush().await;
    let mut groups = logs.groups(&call.scope, &prefix, after.as_deref(), limit + 1, wanted);
    let more = groups.len() > limit;
    groups.truncate(limit);
    let last = groups.last().filter(|_| more);
    Reply::json(&Groups {
        next_token: last.map(|group| token::of_list(0, &group.name)),
        log_groups: groups.iter().map(|group| document(&call, group)).collect(),
    })
}

fn document(call: &Call, group: &GroupInfo) -> GroupDocument {
    let arn = call.group_arn(&group.name);
    GroupDocument {
        log_group_name: group.name.to_string(),
        creation_time: group.created_ms,
        retention_in_days: group.retention_days,
        metric_filter_count: 0,
        arn: format!("{arn}:*"),
        stored_bytes: group.stored_bytes,
        log_group_class: STANDARD,
        log_group_arn: arn,
    }
}

/// Of a request that has only this.
fn group_name(call: &Call) -> Result<String, LogsError> {
    let asked: GroupName = call.members()?;
    let mut problems = Problems::default();
    problems.required("logGroupName", asked.log_group_name.as_ref());
    problems.group_name("logGroupName", asked.log_group_name.as_ref());
    problems.finish()?;
    Ok(asked.log_group_name.unwrap_or_default())
}

/// The length of a page; it has been checked.
pub(super) fn page(limit: Option<i64>) -> usize {
    let limit = limit.and_then(|limit| usize::try_from(limit).ok());
    limit.unwrap_or(PAGE).min(PAGE)
}
