//! Finds the resources of one ComputerSystem by following links from the service's root.

use crate::client::Client;
use crate::document::{Document, is_same, link, links, name, text, texts};
use crate::refusal::one_line;
use crate::{Error, ErrorKind};
use serde_json::Value;

/// The one path that is known beforehand (DSP0266, "Protocol version").
pub(crate) const ROOT: &str = "/redfish/v1/";
/// Most members of a collection that are looked at; controllers have tens at most.
const MEMBERS_MAX: usize = 256;
/// Most pages of a collection.
const PAGES_MAX: usize = 8;
/// Most systems that are read to find the one with an Id.
const SYSTEMS_MAX: usize = 16;
/// Most systems that a message names.
const SHOWN_MAX: usize = 8;

/// What the service's root names.
#[derive(Debug)]
pub(crate) struct Root {
    pub(crate) systems: Option<String>,
    /// The collection to log in at.
    pub(crate) sessions: Option<String>,
}

/// What belongs to the ComputerSystem.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) system: String,
    pub(crate) chassis: Vec<String>,
    pub(crate) managers: Vec<String>,
    pub(crate) logs: Option<String>,
    pub(crate) reset: Option<Reset>,
}

/// The action that switches power.
#[derive(Debug)]
pub(crate) struct Reset {
    pub(crate) target: String,
    /// The values of ResetType that the service takes; `None`: it does not say.
    pub(crate) allowed: Option<Vec<String>>,
}

impl Root {
    pub(crate) fn of(root: &Value) -> Self {
        Self { systems: link(root, "/Systems"), sessions: link(root, "/Links/Sessions") }
    }
}

impl Client {
    /// Finds the system and what belongs to it, once.
    pub(crate) async fn place(&self) -> Result<&Place, Error> {
        self.place.get_or_try_init(|| self.find_place()).await
    }

    async fn find_place(&self) -> Result<Place, Error> {
        let system = self.find_system().await?;
        let value = &system.value;
        let below = |pointer| {
            let mut found = links(value, pointer);
            found.truncate(MEMBERS_MAX);
            found
        };
        Ok(Place {
            chassis: below("/Links/Chassis"),
            managers: below("/Links/ManagedBy"),
            logs: link(value, "/LogServices"),
            reset: self.find_reset(value).await?,
            system: system.path,
        })
    }

    async fn find_system(&self) -> Result<Document, Error> {
        let Some(systems) = &self.root().await?.systems else {
            return Err(self.error("Systems", ErrorKind::Unsupported, "the service has none"));
        };
        let found = self.members(systems).await?;
        let paths: Vec<String> = found.iter().filter_map(|member| link(member, "")).collect();
        let Some(wanted) = &self.wanted else {
            return match paths.as_slice() {
                [only] => self.get(only).await,
                [] => Err(self.error(systems, ErrorKind::Unsupported, "the service has no system")),
                several => Err(self.unnamed(systems, "name one of its systems", several)),
            };
        };
        if let Some(path) = paths.iter().find(|path| name(path) == wanted) {
            return self.get(path).await;
        }
        for path in paths.iter().take(SYSTEMS_MAX) {
            let system = self.get(path).await?;
            if text(&system.value, "/Id") == Some(wanted) {
                return Ok(system);
            }
        }
        Err(self.unnamed(systems, &format!("there is no system {wanted}"), &paths))
    }

    fn unnamed(&self, systems: &str, what: &str, paths: &[String]) -> Error {
        let names: Vec<&str> = paths.iter().map(|path| name(path)).take(SHOWN_MAX).collect();
        let what = format!("{what}: {}", one_line(&names.join(", ")));
        self.error(systems, ErrorKind::Misconfigured, what)
    }

    async fn find_reset(&self, system: &Value) -> Result<Option<Reset>, Error> {
        let action = "/Actions/#ComputerSystem.Reset";
        let Some(action) = system.pointer(action) else { return Ok(None) };
        let Some(target) = text(action, "/target") else { return Ok(None) };
        let mut allowed = texts(action, "/ResetType@Redfish.AllowableValues");
        if let (None, Some(path)) = (&allowed, text(action, "/@Redfish.ActionInfo")) {
            allowed = match self.get(path).await {
                Ok(info) => reset_types(&info.value),
                // It only helps to choose.
                Err(error) if error.is_missing() => None,
                Err(error) => return Err(error),
            };
        }
        Ok(Some(Reset { target: target.to_owned(), allowed }))
    }

    /// A collection's members as it has them: links, or whole documents.
    pub(crate) async fn members(&self, path: &str) -> Result<Vec<Value>, Error> {
        let mut found = Vec::new();
        let mut next = Some(path.to_owned());
        for _ in 0..PAGES_MAX {
            let Some(path) = next.take() else { break };
            let mut page = self.get(&path).await?.value;
            next = text(&page, "/Members@odata.nextLink").map(str::to_owned);
            next = next.filter(|next| !is_same(next, &path));
            let Some(members) = page.pointer_mut("/Members").and_then(Value::as_array_mut) else {
                return Err(self.error(
                    &path,
                    ErrorKind::Malformed,
                    "the collection has no Members",
                ));
            };
            found.append(members);
            if found.len() >= MEMBERS_MAX {
                break;
            }
        }
        found.truncate(MEMBERS_MAX);
        Ok(found)
    }

    /// A resource that may be away although it is linked.
    pub(crate) async fn get_if_there(&self, path: &str) -> Result<Option<Document>, Error> {
        match self.get(path).await {
            Ok(document) => Ok(Some(document)),
            Err(error) if error.kind == ErrorKind::Unsupported => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// The values of ResetType in an ActionInfo.
fn reset_types(info: &Value) -> Option<Vec<String>> {
    let parameters = info.pointer("/Parameters")?.as_array()?;
    let of_reset = |item: &&Value| text(item, "/Name") == Some("ResetType");
    texts(parameters.iter().find(of_reset)?, "/AllowableValues")
}
