//! What each class answers: its instances, and its methods.

use super::Shared;
use super::answer::{Asked, Fault};
use super::boot::{DONE, SOURCES};
use super::machine;
use super::settings::{Knobs, Refusal};
use crate::soap::{ENUMERATION, TRANSFER, reference, resource};
use crate::xml::{Element, escape};
use std::sync::Arc;

const POWER: &str = "CIM_AssociatedPowerManagementService";
const SETTINGS: &str = "AMT_BootSettingData";
/// What the boot methods return in client control mode without consent.
const NO_CONSENT: u32 = 2;

/// The instances that never change: class, and its properties.
const FIXED: [(&str, &[(&str, &str)]); 4] = [
    (
        "CIM_PowerManagementService",
        &[
            ("CreationClassName", "CIM_PowerManagementService"),
            ("EnabledState", "5"),
            ("Name", "Intel(r) AMT Power Management Service"),
            ("SystemCreationClassName", "CIM_ComputerSystem"),
            ("SystemName", "Intel(r) AMT"),
        ],
    ),
    (
        "CIM_BootService",
        &[
            ("CreationClassName", "CIM_BootService"),
            ("EnabledState", "2"),
            ("Name", "Intel(r) AMT Boot Service"),
            ("SystemCreationClassName", "CIM_ComputerSystem"),
            ("SystemName", "Intel(r) AMT"),
        ],
    ),
    (
        "CIM_BootConfigSetting",
        &[
            ("ElementName", "Intel(r) AMT: Boot Configuration"),
            ("InstanceID", "Intel(r) AMT: Boot Configuration 0"),
        ],
    ),
    (
        "AMT_BootCapabilities",
        &[
            ("ElementName", "Intel(r) AMT: Boot Capabilities"),
            ("ForcePXEBoot", "true"),
            ("InstanceID", "Intel(r) AMT:BootCapabilities 0"),
        ],
    ),
];

/// The body of the answer.
pub(super) async fn answer(
    shared: &Arc<Shared>,
    knobs: &Knobs,
    asked: &Asked<'_>,
) -> Result<String, Fault> {
    if asked.resource != resource(asked.class()) {
        return Err("DestinationUnreachable");
    }
    check_selectors(asked)?;
    let act = |base: &str| asked.action.strip_prefix(base).and_then(|rest| rest.strip_prefix('/'));
    match (act(TRANSFER), act(ENUMERATION), act(asked.resource)) {
        (Some("Get"), ..) => get(shared, knobs, asked.class()).await,
        (Some("Put"), ..) => put(shared, asked).await,
        (_, Some("Enumerate"), _) => {
            items(shared, knobs, asked.class()).await?;
            let context = context(asked.class());
            Ok(format!(
                "<e:EnumerateResponse><e:EnumerationContext>{context}</e:EnumerationContext>\
                 </e:EnumerateResponse>"
            ))
        }
        (_, Some("Pull"), _) => {
            let named = asked.body.text_at(&["Pull", "EnumerationContext"]);
            if named != Some(&context(asked.class())) {
                return Err("InvalidEnumerationContext");
            }
            let items = items(shared, knobs, asked.class()).await?;
            Ok(format!(
                "<e:PullResponse><e:Items>{items}</e:Items><e:EndOfSequence></e:EndOfSequence>\
                 </e:PullResponse>"
            ))
        }
        (.., Some(method)) => invoke(shared, knobs, asked, method).await,
        _ => Err("ActionNotSupported"),
    }
}

fn context(class: &str) -> String {
    format!("list-of-{class}")
}

/// A class has one instance here: selectors that name another are wrong.
fn check_selectors(asked: &Asked<'_>) -> Result<(), Fault> {
    let fixed = FIXED.iter().find(|instance| instance.0 == asked.class());
    let set = asked.header.child("SelectorSet");
    for selector in set.into_iter().flat_map(|set| set.children("Selector")) {
        let name = selector.attributes.iter().find(|attribute| attribute.0 == "Name");
        let name = name.map_or("", |attribute| attribute.1.as_str());
        let known = fixed.and_then(|instance| instance.1.iter().find(|known| known.0 == name));
        if known.is_none_or(|known| known.1 != selector.text.trim()) {
            return Err("InvalidSelectors");
        }
    }
    Ok(())
}

async fn get(shared: &Shared, knobs: &Knobs, class: &str) -> Result<String, Fault> {
    if class == POWER && !knobs.lists_power_only {
        return power(shared, knobs, "").await;
    }
    if class == SETTINGS {
        let mut machine = shared.machine.lock().await;
        return Ok(instance(SETTINGS, machine.boot().settings()));
    }
    let fixed = FIXED.iter().find(|instance| instance.0 == class);
    fixed.map(|(_, properties)| instance(class, properties)).ok_or("DestinationUnreachable")
}

async fn put(shared: &Shared, asked: &Asked<'_>) -> Result<String, Fault> {
    if asked.class() != SETTINGS {
        return Err("ActionNotSupported");
    }
    let new = asked.body.child(SETTINGS).ok_or("InvalidRepresentation")?;
    let new = new.children.iter().map(|item| (item.name.clone(), item.text.trim().to_owned()));
    let mut machine = shared.machine.lock().await;
    if !machine.boot().put(new.collect()) {
        return Err("InvalidRepresentation");
    }
    Ok(instance(SETTINGS, machine.boot().settings()))
}

async fn items(shared: &Shared, knobs: &Knobs, class: &str) -> Result<String, Fault> {
    match class {
        POWER | "CIM_ServiceAvailableToElement" => {
            power(shared, knobs, &format!(" xmlns:g=\"{}\"", resource(POWER))).await
        }
        "CIM_BootSourceSetting" => {
            let source = |(name, string): (&str, &str)| {
                let name = ("InstanceID", name);
                instance(class, &[name, ("StructuredBootString", string)])
            };
            Ok(SOURCES.map(source).concat())
        }
        _ => get(shared, knobs, class).await,
    }
}

async fn invoke(
    shared: &Arc<Shared>,
    knobs: &Knobs,
    asked: &Asked<'_>,
    method: &str,
) -> Result<String, Fault> {
    let input = asked.body.child(&format!("{method}_INPUT")).ok_or("SchemaValidationError")?;
    if input.namespace != asked.resource {
        return Err("SchemaValidationError");
    }
    let value = match (asked.class(), method, knobs.refuses) {
        (_, _, Some(Refusal::Returns(value))) => value,
        ("CIM_PowerManagementService", "RequestPowerStateChange", _) => {
            let state = input.text_at(&["PowerState"]).and_then(|text| text.parse().ok());
            let element = input.child("ManagedElement").and_then(|e| selected(e, "Name"));
            if element != Some("ManagedSystem") {
                return Err("SchemaValidationError");
            }
            machine::request(shared, knobs, state.ok_or("SchemaValidationError")?).await
        }
        ("CIM_BootConfigSetting" | "CIM_BootService", ..) if knobs.client_control => NO_CONSENT,
        ("CIM_BootConfigSetting", "ChangeBootOrder", _) => {
            let source = input.child("Source");
            let name = source.map(|source| selected(source, "InstanceID").unwrap_or_default());
            shared.machine.lock().await.boot().order(name)
        }
        ("CIM_BootService", "SetBootConfigRole", _) => {
            let role = input.text_at(&["Role"]).ok_or("SchemaValidationError")?;
            let config = input.child("BootConfigSetting").and_then(|e| selected(e, "InstanceID"));
            match config {
                Some("Intel(r) AMT: Boot Configuration 0") => {
                    shared.machine.lock().await.boot().role(role)
                }
                _ => return Err("SchemaValidationError"),
            }
        }
        ("CIM_BootService", "RequestStateChange", _) => DONE,
        _ => return Err("ActionNotSupported"),
    };
    Ok(format!("<g:{method}_OUTPUT><g:ReturnValue>{value}</g:ReturnValue></g:{method}_OUTPUT>"))
}

/// What a reference selects by that name.
fn selected<'a>(reference: &'a Element, name: &str) -> Option<&'a str> {
    let set = reference.find(&["ReferenceParameters", "SelectorSet"])?;
    let named =
        |selector: &&Element| selector.attributes.iter().any(|a| a.0 == "Name" && a.1 == name);
    set.children("Selector").find(named).map(|selector| selector.text.trim())
}

/// The association that tells the power state.
async fn power(shared: &Shared, knobs: &Knobs, declared: &str) -> Result<String, Fault> {
    let status = shared.machine.lock().await.status(knobs).await;
    let (state, available) = status.map_err(|_why| "InternalError")?;
    let listed = |state: &u16| {
        format!("<g:AvailableRequestedPowerStates>{state}</g:AvailableRequestedPowerStates>")
    };
    let available: String = available.iter().map(listed).collect();
    let service = [("Name", "Intel(r) AMT Power Management Service")];
    let service = amt(&reference("CIM_PowerManagementService", &service));
    let system = [("CreationClassName", "CIM_ComputerSystem"), ("Name", "ManagedSystem")];
    let system = amt(&reference("CIM_ComputerSystem", &system));
    Ok(format!(
        "<g:{POWER}{declared}>{available}<g:PowerState>{state}</g:PowerState>\
         <g:ServiceProvided>{service}</g:ServiceProvided>\
         <g:UserOfService>{system}</g:UserOfService></g:{POWER}>"
    ))
}

/// A reference with AMT's prefixes instead of our client's.
fn amt(reference: &str) -> String {
    let addressing = reference.replace("<a:", "<b:").replace("</a:", "</b:");
    addressing.replace("<w:", "<c:").replace("</w:", "</c:")
}

fn instance<S: AsRef<str>>(class: &str, properties: &[(S, S)]) -> String {
    let property = |(name, value): &(S, S)| {
        let name = name.as_ref();
        format!("<g:{name}>{}</g:{name}>", escape(value.as_ref()))
    };
    let properties: String = properties.iter().map(property).collect();
    format!("<g:{class}>{properties}</g:{class}>")
}
