use bootlace_store::record::{FunctionConfig, Vpc};
use bootlace_types::Architecture;

use crate::validation::{Given, rules};
use crate::{ControlError, EnvironmentSettings, Settings, VpcSettings};

/// A member of [`Settings`] by its path in the constraint table.
pub(super) fn given<'a>(settings: &'a Settings, path: &str) -> Given<'a> {
    let vpc = settings.vpc.as_ref();
    let logging = settings.logging.as_ref();
    match path {
        "role" => settings.role.as_ref().into(),
        "handler" => settings.handler.as_ref().into(),
        "description" => settings.description.as_ref().into(),
        "timeout" => settings.timeout_s.into(),
        "memorySize" => settings.memory_mb.into(),
        "vpcConfig.subnetIds" => vpc.and_then(|vpc| vpc.subnet_ids.as_ref()).into(),
        "vpcConfig.securityGroupIds" => vpc.and_then(|vpc| vpc.security_group_ids.as_ref()).into(),
        "environment.variables" => settings
            .environment
            .as_ref()
            .and_then(|env| env.variables.as_ref())
            .into(),
        "deadLetterConfig.targetArn" => settings.dead_letter_target.as_ref().into(),
        "kMSKeyArn" => settings.kms_key_arn.as_ref().into(),
        "tracingConfig.mode" => settings.tracing_mode.as_ref().into(),
        "layers" => settings.layers.as_ref().into(),
        "ephemeralStorage.size" => settings.ephemeral_storage_mb.into(),
        "snapStart.applyOn" => settings.snap_start.as_ref().into(),
        "loggingConfig.logFormat" => logging.and_then(|l| l.format.as_ref()).into(),
        "loggingConfig.logGroup" => logging.and_then(|l| l.group.as_ref()).into(),
        "loggingConfig.applicationLogLevel" => {
            logging.and_then(|l| l.application_level.as_ref()).into()
        }
        "loggingConfig.systemLogLevel" => logging.and_then(|l| l.system_level.as_ref()).into(),
        _ => Given::Absent,
    }
}

/// Rules on the request alone, whatever the function is.
pub(super) fn check(settings: &Settings) -> Result<(), ControlError> {
    if let Some(member) = settings.not_built.first() {
        return Err(ControlError::NotBuilt(member));
    }
    rules::effective_limits(settings)?;
    if let Some(handler) = &settings.handler {
        rules::handler(handler)?;
    }
    if let Some(EnvironmentSettings {
        variables: Some(variables),
    }) = &settings.environment
    {
        rules::environment(variables)?;
    }
    Ok(())
}

/// Writes what was given over a configuration; layers and code are others' work.
pub(super) fn apply(settings: &Settings, config: &mut FunctionConfig) -> Result<(), ControlError> {
    if let Some(id) = &settings.runtime {
        config.runtime = Some(rules::runtime(id)?);
    }
    let set = |given: &Option<String>, member: &mut String| {
        if let Some(given) = given {
            member.clone_from(given);
        }
    };
    set(&settings.role, &mut config.role);
    set(&settings.description, &mut config.description);
    set(&settings.tracing_mode, &mut config.tracing_mode);
    set(&settings.snap_start, &mut config.snap_start);
    if settings.handler.is_some() {
        config.handler.clone_from(&settings.handler);
    }
    number(settings.timeout_s, &mut config.timeout_s)?;
    number(settings.memory_mb, &mut config.memory_mb)?;
    number(
        settings.ephemeral_storage_mb,
        &mut config.ephemeral_storage_mb,
    )?;
    if let Some(environment) = &settings.environment {
        config.environment.clone_from(&environment.variables);
    }
    let optional = |given: &Option<String>, member: &mut Option<String>| {
        if let Some(text) = given {
            *member = (!text.is_empty()).then(|| text.clone());
        }
    };
    optional(&settings.dead_letter_target, &mut config.dead_letter_target);
    optional(&settings.kms_key_arn, &mut config.kms_key_arn);
    if let Some(vpc) = &settings.vpc {
        config.vpc = merge_vpc(config.vpc.take(), vpc);
    }
    if let Some(logging) = &settings.logging {
        config.logging = rules::logging(&config.logging, logging)?;
    }
    rules::snap_start(config.runtime, &config.snap_start)
}

fn number(given: Option<i64>, member: &mut u32) -> Result<(), ControlError> {
    if let Some(given) = given {
        *member = u32::try_from(given)
            .map_err(|_| ControlError::Internal(format!("{given} is out of range")))?;
    }
    Ok(())
}

/// Lists that are not given stay; no subnets and no groups are no VPC.
fn merge_vpc(current: Option<Vpc>, given: &VpcSettings) -> Option<Vpc> {
    let current = current.unwrap_or(Vpc {
        subnet_ids: vec![],
        security_group_ids: vec![],
        ipv6: false,
    });
    let vpc = Vpc {
        subnet_ids: given.subnet_ids.clone().unwrap_or(current.subnet_ids),
        security_group_ids: given
            .security_group_ids
            .clone()
            .unwrap_or(current.security_group_ids),
        ipv6: given.ipv6,
    };
    (!vpc.subnet_ids.is_empty() || !vpc.security_group_ids.is_empty()).then_some(vpc)
}

/// The one architecture of a list that the constraint table has checked.
pub(super) fn architecture(given: Option<&Vec<String>>) -> Option<Architecture> {
    given
        .and_then(|list| list.first())
        .and_then(|id| id.parse().ok())
}
