//! Reads properties of a JSON document as services really write them: a property may be absent, null,
//! or of another type than its schema says; all of these are "not known".

use serde_json::Value;

/// A resource as it was read.
#[derive(Debug, Clone)]
pub(crate) struct Document {
    /// Where it was read.
    pub(crate) path: String,
    pub(crate) value: Value,
    /// Version, as the service names it.
    pub(crate) etag: Option<String>,
}

/// `pointer` is a JSON pointer (RFC 6901).
pub(crate) fn text<'a>(value: &'a Value, pointer: &str) -> Option<&'a str> {
    value.pointer(pointer).and_then(Value::as_str).filter(|text| !text.is_empty())
}

/// A number; some services put theirs in quotes.
pub(crate) fn number(value: &Value, pointer: &str) -> Option<f64> {
    let found = value.pointer(pointer)?;
    let number = found.as_f64().or_else(|| found.as_str()?.trim().parse().ok())?;
    number.is_finite().then_some(number)
}

/// The path of another resource.
pub(crate) fn link(value: &Value, pointer: &str) -> Option<String> {
    let found = value.pointer(pointer)?;
    text(found, "/@odata.id").map(str::to_owned)
}

/// The paths in a list of links.
pub(crate) fn links(value: &Value, pointer: &str) -> Vec<String> {
    let found = value.pointer(pointer).and_then(Value::as_array);
    found.into_iter().flatten().filter_map(|item| link(item, "")).collect()
}

/// The texts of a list; `None`: there is no list.
pub(crate) fn texts(value: &Value, pointer: &str) -> Option<Vec<String>> {
    let found = value.pointer(pointer)?.as_array()?;
    Some(found.iter().filter_map(Value::as_str).map(str::to_owned).collect())
}

/// Puts a property into an object.
pub(crate) fn set(object: &mut Value, name: &str, value: impl Into<Value>) {
    if let Some(object) = object.as_object_mut() {
        object.insert(name.to_owned(), value.into());
    }
}

/// Whether two paths name the same resource: services differ in the slash at the end.
pub(crate) fn is_same(one: &str, other: &str) -> bool {
    one.trim_end_matches('/') == other.trim_end_matches('/')
}

/// The last part of a path.
pub(crate) fn name(path: &str) -> &str {
    path.trim_end_matches('/').rsplit('/').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_not_as_it_should_be_is_not_known() {
        let value =
            json!({"a": null, "b": 3, "c": "3.5 ", "d": "x", "e": [], "f": {"@odata.id": 1}});
        assert_eq!([number(&value, "/b"), number(&value, "/c")], [Some(3.0), Some(3.5)]);
        for pointer in ["/a", "/d", "/e", "/f", "/g"] {
            assert_eq!(number(&value, pointer), None, "{pointer}");
            assert_eq!(link(&value, pointer), None, "{pointer}");
        }
        assert_eq!(number(&json!({"n": "NaN"}), "/n"), None);
        assert_eq!((texts(&value, "/e"), texts(&value, "/d")), (Some(vec![]), None));
        assert!(links(&value, "/b").is_empty());
    }

    #[test]
    fn paths_are_compared_without_the_last_slash() {
        assert!(is_same("/redfish/v1/Systems/1/", "/redfish/v1/Systems/1"));
        assert_eq!(name("/redfish/v1/Systems/1/"), "1");
    }
}
