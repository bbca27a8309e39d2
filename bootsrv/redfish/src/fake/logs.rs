//! The log of the made-up service, in each maker's order and pages.

use super::documents::Paths;
use super::shape::Shape;
use super::state::State;
use crate::document::set;
use serde_json::{Value, json};

/// Entries on a page, where there are pages.
const PAGE: usize = 4;

/// What is below the collection of logs.
pub(super) fn at(state: &State, paths: &Paths, below: &str, skip: usize) -> Option<Value> {
    let base = format!("{}/{}", paths.logs(), paths.0.log);
    let Some(below) = below.strip_prefix('/') else {
        return below.is_empty().then(|| paths.collection(std::slice::from_ref(&base)));
    };
    let below = below.strip_prefix(paths.0.log)?;
    match below {
        "" => Some(json!({"Id": paths.0.log, "Name": "Log", "OverWritePolicy": "WrapsWhenFull",
            "ServiceEnabled": true, "Entries": paths.link(&format!("{base}/Entries"))})),
        "/Entries" => Some(entries(state, paths, &base, skip)),
        _ => entry(state, paths, &base, below.strip_prefix("/Entries/")?.parse().ok()?),
    }
}

fn entry(state: &State, paths: &Paths, base: &str, number: usize) -> Option<Value> {
    let [created, severity, message] = state.log.get(number)?;
    let mut entry = json!({"@odata.type": "#LogEntry.v1_14_0.LogEntry", "Id": number.to_string(),
        "Name": format!("Log Entry {number}"), "EntryType": "SEL", "Created": created,
        "Severity": severity, "Message": message, "MessageId": "Fake.1.0.Entry"});
    set(
        &mut entry,
        "@odata.id",
        paths.link(&format!("{base}/Entries/{number}")).get("@odata.id").cloned()?,
    );
    Some(entry)
}

fn entries(state: &State, paths: &Paths, base: &str, skip: usize) -> Value {
    let all = 0..state.log.len();
    let whole = |number: usize| entry(state, paths, base, number);
    let (members, next): (Vec<Value>, bool) = match state.shape {
        Shape::Hpe => {
            (all.map(|number| paths.link(&format!("{base}/Entries/{number}"))).collect(), false)
        }
        Shape::Dell => (all.rev().filter_map(whole).collect(), false),
        Shape::Dmtf => (all.filter_map(whole).collect(), false),
        Shape::OpenBmc => {
            let page = all.skip(skip).take(PAGE).filter_map(whole).collect();
            (page, skip + PAGE < state.log.len())
        }
    };
    let mut collection = json!({"Name": "Entries", "Members@odata.count": state.log.len(),
        "Members": members});
    if next {
        let path = format!("/redfish/v1/{base}/Entries?$skip={}", skip + PAGE);
        set(&mut collection, "Members@odata.nextLink", path);
    }
    collection
}
